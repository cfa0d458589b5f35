"""Clients that stay connected: how they get in, whose they are, what wakes them, and what closes them."""
