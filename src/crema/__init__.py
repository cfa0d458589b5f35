"""Crema: the backend of a chain of take-away coffee shops."""

from importlib.metadata import version

__version__ = version("crema")
