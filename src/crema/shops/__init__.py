"""Shops, their opening hours, and the chain's public information."""
