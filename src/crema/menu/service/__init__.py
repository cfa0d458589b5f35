"""Every change to the menu."""
