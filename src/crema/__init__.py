"""Crema: the backend of a chain of take-away coffee shops."""
