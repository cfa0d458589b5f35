"""What the support chat's routes ask for before they act."""

from fastapi import Depends

from crema.accounts.deps import Person
from crema.support.service import limits
from crema.web.clock import Now
from crema.web.transaction import Transaction


async def _count(tx: Transaction, actor: Person, now: Now) -> None:
    await limits.count_request(tx, actor=actor, now=now)


Limited = Depends(_count, scope="function")
"""A dependency of routes that write: so many requests a second and person."""
