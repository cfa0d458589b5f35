"""HTTP: what every route shares. The only place below the routes that knows FastAPI."""
