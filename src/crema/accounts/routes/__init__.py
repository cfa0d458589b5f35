"""HTTP routes of people, logins, passwords, roles and mails."""

from crema.accounts.routes.mails import router as mails
from crema.accounts.routes.passwords import router as passwords
from crema.accounts.routes.people import router as people
from crema.accounts.routes.roles import router as roles
from crema.accounts.routes.tokens import router as tokens

__all__ = ["mails", "passwords", "people", "roles", "tokens"]
