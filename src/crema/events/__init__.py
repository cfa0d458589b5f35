"""The log of what has happened: written with each change, read by whatever has to follow from it."""
