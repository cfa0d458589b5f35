"""The café's tables."""
