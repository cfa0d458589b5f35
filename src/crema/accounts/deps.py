"""Who is asking, as types: a route's signature says what it demands."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.service.tokens import InvalidTokenError
from crema.core.errors import ForbiddenError, UnauthenticatedError
from crema.web.clock import Now
from crema.web.transaction import Transaction

_bearer = OAuth2PasswordBearer(
    "access", scheme_name="Password", description="E-mail and password; try the demo accounts.", auto_error=False
)


class EmailNotVerifiedError(ForbiddenError):
    """The address has to be verified first."""

    code = "email_not_verified"
    title = "Verify your e-mail address first."


async def visitor(
    request: Request, tx: Transaction, now: Now, token: Annotated[str | None, Depends(_bearer)]
) -> Actor | None:
    """Tell who is asking, or None for nobody. A token that isn't good is refused even where none is needed."""
    if token is None:
        return None
    user_id, session_id = request.app.state.access_tokens.read(token, now=now)
    actor = await queries.find_actor(tx, user_id=user_id, session_id=session_id, now=now)
    if actor is None:
        raise InvalidTokenError
    structlog.contextvars.bind_contextvars(user_id=str(user_id))
    return actor


Visitor = Annotated[Actor | None, Depends(visitor)]


async def person(actor: Visitor) -> Actor:
    """Anyone logged in whose address is verified."""
    if actor is None:
        raise UnauthenticatedError
    if not actor.is_verified:
        raise EmailNotVerifiedError
    return actor


def _allowed(permission: str) -> Callable[[Actor], Coroutine[Any, Any, Actor]]:
    async def check(actor: Person) -> Actor:
        if not actor.may(permission):
            raise ForbiddenError(f"This needs the permission {permission}.")
        return actor

    return check


Person = Annotated[Actor, Depends(person)]
MenuEditor = Annotated[Actor, Depends(_allowed("menu:write"))]
ShopEditor = Annotated[Actor, Depends(_allowed("shops:write"))]
OrderStaff = Annotated[Actor, Depends(_allowed("orders:write"))]
UserEditor = Annotated[Actor, Depends(_allowed("users:write"))]
RoleEditor = Annotated[Actor, Depends(_allowed("roles:write"))]
