"""Every SELECT about the menu."""

from crema.menu.queries.pricing import load_for_pricing

__all__ = ["load_for_pricing"]
