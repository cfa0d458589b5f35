"""The demo chain: its content, pictures, and how it is seeded."""
