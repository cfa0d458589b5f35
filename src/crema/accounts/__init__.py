"""People: registration, verification, login, sessions and tokens, roles and permissions."""
