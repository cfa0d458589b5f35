"""Schemathesis over the whole OpenAPI document, as nobody, as a customer and as an administrator."""
