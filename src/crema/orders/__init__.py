"""Orders: they are placed, prepared, handed over or cancelled."""
