"""Words every feature shares. Pure: the standard library only."""
