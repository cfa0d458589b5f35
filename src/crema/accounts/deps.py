"""Who is asking, as types: a route's signature says what it demands."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Final

import structlog
from fastapi import Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordBearer

from crema.accounts import queries
from crema.accounts.domain import Actor, network_of
from crema.accounts.schemas import Mode, Refresh, SignedInOut, TokensOut
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import EmailNotVerifiedError, Logins, Tokens
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.registration import Origin
from crema.accounts.service.tokens import InvalidTokenError
from crema.core.errors import ForbiddenError, UnauthenticatedError
from crema.web.browser import Cookies
from crema.web.clock import Now
from crema.web.routing import Language
from crema.web.transaction import Reads

_bearer = OAuth2PasswordBearer(
    "access", scheme_name="Password", description="E-mail and password; try the demo accounts.", auto_error=False
)


async def visitor(
    request: Request, reads: Reads, now: Now, token: Annotated[str | None, Depends(_bearer)]
) -> Actor | None:
    """Tell who is asking, or None for nobody. A token that isn't good is refused even where none is needed.

    `web.browser.Guard` has seen to it that a cookie comes from a page of ours where it matters.
    """
    token = token or request.app.state.cookies.get(request, "access")
    if token is None:
        return None
    user_id, session_id = request.app.state.access_tokens.read(token, now=now)
    actor = await queries.find_actor(reads, user_id=user_id, session_id=session_id, now=now)
    if actor is None:
        raise InvalidTokenError
    structlog.contextvars.bind_contextvars(user_id=str(user_id))
    return actor


Visitor = Annotated[Actor | None, Depends(visitor)]


async def logged_in(actor: Visitor) -> Actor:
    """Anyone logged in, be their address verified or not: enough to log out."""
    if actor is None:
        raise UnauthenticatedError
    return actor


LoggedIn = Annotated[Actor, Depends(logged_in)]


async def person(actor: LoggedIn) -> Actor:
    """Anyone logged in whose address is verified."""
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
SupportStaff = Annotated[Actor, Depends(_allowed("support:write"))]
MailEditor = Annotated[Actor, Depends(_allowed("mails:write"))]
RoleEditor = Annotated[Actor, Depends(_allowed("roles:write"))]


_MODE: Final = "`cookie`: the tokens go into cookies, and the answer holds only the user; needs `GET /csrf` before."


async def _origin(request: Request, language: Language) -> Origin:
    """Where the request comes from: the address the server sees, cut to the network a person commands."""
    host = request.client.host if request.client else ""
    return Origin(network=network_of(host), user_agent=request.headers.get("user-agent", "")[:300], language=language)


async def _passwords(request: Request) -> AsyncIterator[Passwords]:
    passwords: Passwords = request.app.state.passwords
    async with passwords.turn():
        yield passwords


async def _codes(request: Request) -> Codes:
    codes: Codes = request.app.state.codes
    return codes


async def _logins(request: Request) -> Logins:
    logins: Logins = request.app.state.logins
    return logins


RequestOrigin = Annotated[Origin, Depends(_origin)]
PasswordHashing = Annotated[Passwords, Depends(_passwords, scope="function")]
OneTimeCodes = Annotated[Codes, Depends(_codes)]
LoginService = Annotated[Logins, Depends(_logins)]


class Handing:
    """Gives a login's tokens to whoever asked, the way they asked for."""

    def __init__(
        self, request: Request, response: Response, mode: Annotated[Mode, Query(description=_MODE)] = "token"
    ) -> None:
        self._cookies: Cookies = request.app.state.cookies
        self._lifetimes = request.app.state.logins.access_tokens.lifetime, request.app.state.logins.lifetime
        self._given = self._cookies.get(request, "refresh")
        self._response = response
        self._mode = mode

    def over(self, tokens: Tokens) -> TokensOut | SignedInOut:
        """Put the tokens into the answer, or into cookies."""
        if self._mode == "token":
            return TokensOut.model_validate(tokens)
        for_access, for_refresh = self._lifetimes
        self._cookies.put(self._response, "access", tokens.access_token, lifetime=for_access)
        self._cookies.put(self._response, "refresh", tokens.refresh_token, lifetime=for_refresh)
        return SignedInOut.model_validate(tokens)

    def back(self, sent: Refresh | None) -> str:
        """Take the refresh token from the body or, in the mode of cookies, from its cookie."""
        token = sent.refresh_token if sent else self._given if self._mode == "cookie" else None
        if token is None:
            raise InvalidTokenError
        return token


Hand = Annotated[Handing, Depends()]
