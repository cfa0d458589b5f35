"""Shops, their opening hours and capacity, and the chain's public information."""
