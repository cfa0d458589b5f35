"""Orders: placing, preparing, handing over, cancelling."""
