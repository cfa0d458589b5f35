"""The cart of each person, priced at each request."""
