"""Sockets of logged-in people: how they get in, where they sit, what wakes them, what puts them out."""
