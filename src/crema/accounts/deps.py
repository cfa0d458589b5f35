"""Who is asking, as types: a route's signature says what it demands."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import structlog
from fastapi import Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordBearer

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import Role, User
from crema.accounts.schemas import LogOut, Mode, Refresh, SignedInOut, TokensOut, UserOut
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import EmailNotVerifiedError, InvalidRefreshTokenError, Logins, Tokens, note_use
from crema.accounts.service.passwords import Passwords, Turn
from crema.accounts.service.people import BeforeDeletion
from crema.accounts.service.registration import Credentials, Origin
from crema.accounts.service.tokens import AccessClaims, AccessTokens, InvalidTokenError
from crema.accounts.service.verification import Verified
from crema.core.errors import ForbiddenError, UnauthenticatedError
from crema.core.networks import network_of
from crema.db.driver import Reader
from crema.web.audit import Author
from crema.web.browser import bearer_token
from crema.web.clock import Now
from crema.web.credentials import Access
from crema.web.idempotency import IdempotencyKey, answer_once
from crema.web.language import Language
from crema.web.preconditions import Versioned
from crema.web.state import DatabaseState, WebState, state_of
from crema.web.transaction import IdentityReads

USER: Final = Versioned(User.id, "user_id")
SELF: Final = Versioned(User.id)
ROLE: Final = Versioned(Role.id, "role_id")

_bearer = OAuth2PasswordBearer("access", auto_error=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountsState:
    """What the application holds for accounts."""

    passwords: Passwords
    codes: Codes
    logins: Logins
    registrations_per_network: int
    before_deletion: Sequence[BeforeDeletion]
    """What features above have to do before a person is deleted."""


def _access_tokens(request: Request) -> AccessTokens:
    return state_of(request.app, AccountsState).logins.access_tokens


async def _find_actor(request: Request, reads: Reader, claims: AccessClaims, now: datetime) -> Actor | None:
    """Load who an access token names, and note its first use after a refresh."""
    actor = await queries.find_actor(
        reads, user_id=claims.user_id, session_id=claims.session_id, pair=claims.pair, now=now
    )
    if actor is None:
        return None
    if actor.is_first_use:  # once a refresh; a transaction of its own, since the request's may write nothing
        async with state_of(request.app, DatabaseState).sessions.begin() as session:
            await note_use(session, session_id=claims.session_id, pair=claims.pair)
    structlog.contextvars.bind_contextvars(user_id=str(claims.user_id))
    request.state.author = Author(actor.user_id, actor.role, is_staff=bool(actor.permissions))
    return actor


async def cookie_visitor(request: Request, reads: IdentityReads, now: Now) -> Actor | None:
    """Return who is asking by cookie, or None. A cookie that isn't good (any more) is taken away, not refused.

    `web.browser.Guard` has seen to it that a cookie comes from a page of ours where it matters.
    """
    cookies = state_of(request.app, WebState).cookies
    token = cookies.get(request, "access")
    if token is None or bearer_token(request.headers) is not None:
        return None
    try:
        claims = _access_tokens(request).read(token, now=now)
    except InvalidTokenError:
        cookies.drop_later(request, "access")  # the refresh token beside it may still be good
        return None
    actor = await _find_actor(request, reads, claims, now)
    if actor is None:
        cookies.drop_later(request, "access", "refresh")
    return actor


async def visitor(
    request: Request,
    reads: IdentityReads,
    now: Now,
    token: Annotated[str | None, Depends(_bearer)],
    by_cookie: Annotated[Actor | None, Depends(cookie_visitor)],
) -> Actor | None:
    """Return who is asking, or None for nobody. A bearer token that isn't good is refused even where none is needed."""
    if token is None:
        return by_cookie
    actor = await _find_actor(request, reads, _access_tokens(request).read(token, now=now), now)
    if actor is None:
        raise InvalidTokenError
    return actor


Visitor = Annotated[Actor | None, Depends(visitor)]


async def logged_in(actor: Visitor) -> Actor:
    """Anyone logged in, be their address verified or not."""
    if actor is None:
        raise UnauthenticatedError
    return actor


LoggedIn = Annotated[Actor, Depends(logged_in)]


async def person(actor: LoggedIn) -> Actor:
    """Anyone logged in whose address is verified."""
    if not actor.is_verified:
        raise EmailNotVerifiedError
    return actor


def _allowed(*permissions: str) -> Callable[[Actor], Coroutine[Any, Any, Actor]]:
    async def check(actor: Person) -> Actor:
        if not any(map(actor.may, permissions)):
            raise ForbiddenError(f"This needs the permission {' or '.join(permissions)}.")
        return actor

    return check


Person = Annotated[Actor, Depends(person)]
MenuEditor = Annotated[Actor, Depends(_allowed("menu:write"))]
ShopEditor = Annotated[Actor, Depends(_allowed("shops:write"))]
OrderReader = Annotated[Actor, Depends(_allowed("orders:read"))]
OrderStaff = Annotated[Actor, Depends(_allowed("orders:write"))]
ShopStaff = Annotated[Actor, Depends(_allowed("shops:write", "orders:write"))]
StockKeeper = Annotated[Actor, Depends(_allowed("stock:write"))]
UserEditor = Annotated[Actor, Depends(_allowed("users:write"))]
SupportStaff = Annotated[Actor, Depends(_allowed("support:write"))]
MailEditor = Annotated[Actor, Depends(_allowed("mails:write"))]
RoleEditor = Annotated[Actor, Depends(_allowed("roles:write"))]


_MODE: Final = "`cookie`: the tokens go into cookies, and the answer holds only the user; needs `GET /csrf` before."

_LOGIN: Final = "`true`: the answer is that of a login. For a new e-mail address only together with `password`."


async def _origin(request: Request, language: Language) -> Origin:
    """Where the request comes from: the address the server sees, cut to the network a person commands."""
    host = request.client.host if request.client else ""
    return Origin(network=network_of(host), user_agent=request.headers.get("user-agent", "")[:300], language=language)


async def _passwords(request: Request) -> Passwords:
    return state_of(request.app, AccountsState).passwords


async def _turn(request: Request) -> AsyncIterator[Turn]:
    async with state_of(request.app, AccountsState).passwords.turn() as turn:
        yield turn


async def _codes(request: Request) -> Codes:
    return state_of(request.app, AccountsState).codes


async def _registration_limit(request: Request) -> int:
    return state_of(request.app, AccountsState).registrations_per_network


async def _logins(request: Request) -> Logins:
    return state_of(request.app, AccountsState).logins


async def _before_deletion(request: Request) -> Sequence[BeforeDeletion]:
    return state_of(request.app, AccountsState).before_deletion


DeletionSteps = Annotated[Sequence[BeforeDeletion], Depends(_before_deletion)]
RequestOrigin = Annotated[Origin, Depends(_origin)]
PasswordHashing = Annotated[Passwords, Depends(_passwords)]
IN_TURN: Final = Depends(_turn, scope="function")
"""For requests that always hash: each waits for its turn before its first statement."""
HashingTurn = Annotated[Turn, IN_TURN]
RegistrationLimit = Annotated[int, Depends(_registration_limit)]
OneTimeCodes = Annotated[Codes, Depends(_codes)]
LoginService = Annotated[Logins, Depends(_logins)]


async def _credentials(passwords: PasswordHashing, codes: OneTimeCodes) -> Credentials:
    return Credentials(passwords, codes)


UserCredentials = Annotated[Credentials, Depends(_credentials)]


async def _once(request: Request, actor: Person, idempotency_key: IdempotencyKey = None) -> None:
    if idempotency_key is not None:
        await answer_once(request, user_id=actor.user_id, key=idempotency_key)


Once = Annotated[None, Depends(_once)]
"""Takes an `Idempotency-Key`. The last parameter of a POST that makes or adds, after its transaction and its actor."""


class LogOutTokens(NamedTuple):
    """What names the logins to end: pairs of person and session, and refresh tokens."""

    named: Sequence[tuple[UUID, UUID]]
    refresh_tokens: Sequence[str]


class TokenResponse:
    """Gives a login's tokens to whoever asked, the way they asked for: in the answer, or in cookies."""

    def __init__(self, request: Request, response: Response, mode: Mode) -> None:
        self._request = request
        self._cookies = state_of(request.app, WebState).cookies
        logins = state_of(request.app, AccountsState).logins
        self._lifetimes = logins.access_tokens.lifetime, logins.lifetime
        self._given = self._cookies.get(request, "refresh")
        self._response = response
        self._mode = mode

    def respond(self, tokens: Tokens) -> TokensOut | SignedInOut:
        """Put the tokens into the answer, or into cookies."""
        return TokensOut.model_validate(tokens) if self._mode == "token" else self.set_cookies(tokens)

    def set_cookies(self, tokens: Tokens) -> SignedInOut:
        """Put the tokens into cookies."""
        for_access, for_refresh = self._lifetimes
        self._cookies.put(self._response, "access", tokens.access_token, lifetime=for_access)
        self._cookies.put(self._response, "refresh", tokens.refresh_token, lifetime=for_refresh)
        return SignedInOut.model_validate(tokens)

    def refresh_token_of(self, sent: Refresh | None) -> str:
        """Take the refresh token from the body or, in the mode of cookies, from its cookie."""
        if sent is not None:
            return sent.refresh_token
        if self._mode != "cookie" or self._given is None:
            raise InvalidRefreshTokenError("Send the refresh token in the body, or in its cookie to /refresh/cookie.")
        # If it is refused, it goes; if not, the answer gives the next.
        self._cookies.drop_later(self._request, "access", "refresh")
        token: str = self._given
        return token


@dataclass(frozen=True, slots=True)
class VerifiedResponse:
    """Gives whose address was verified, and a login of theirs to those who want one."""

    tokens: TokenResponse
    wants_login: bool

    def respond(self, verified: Verified) -> UserOut | TokensOut | SignedInOut:
        """Put the person into the answer, or a login of theirs as `TokenResponse.respond` does."""
        return self.tokens.respond(verified.tokens) if verified.tokens else UserOut.model_validate(verified.user)


# `mode` and `login` change what the answer is, which OpenAPI can't say. So they are taken wherever tokens are given,
# but not described: the routes that end in `/cookie` are the same with one answer each.
async def _tokens_as_asked(
    request: Request,
    response: Response,
    mode: Annotated[Mode, Query(description=_MODE, include_in_schema=False)] = "token",
) -> TokenResponse:
    return TokenResponse(request, response, mode)


async def _verified_as_asked(
    tokens: Annotated[TokenResponse, Depends(_tokens_as_asked)],
    login: Annotated[bool, Query(description=_LOGIN, include_in_schema=False)] = False,  # noqa: FBT002 - a query parameter
) -> VerifiedResponse:
    return VerifiedResponse(tokens, login)


async def _tokens_as_cookies(request: Request, response: Response) -> TokenResponse:
    return TokenResponse(request, response, "cookie")


async def _cookie_exchange(request: Request, response: Response) -> TokenResponse:
    return TokenResponse(request, response, "cookie")


TokensAsAsked = Annotated[TokenResponse, Depends(_tokens_as_asked)]
VerifiedAsAsked = Annotated[VerifiedResponse, Depends(_verified_as_asked)]
TokensAsCookies = Annotated[TokenResponse, Depends(_tokens_as_cookies)]
"""`web.browser.Guard` wants its proof for the routes that use it."""
CookieExchange = Annotated[TokenResponse, Depends(_cookie_exchange)]
"""The same for routes that take a refresh token by its cookie."""


async def _leaving(
    request: Request, token: Annotated[str | None, Depends(_bearer)], body: LogOut | None = None
) -> LogOutTokens:
    """Collect what names a login that is to end.

    A bearer token must be one of ours, expired or not, unless something else names a login. Cookies are taken as they
    are: nobody but us can take them away, so whoever has them may always get rid of them.
    """
    tokens = _access_tokens(request)
    cookies = state_of(request.app, WebState).cookies
    cookie = cookies.get(request, "access")
    refresh_tokens = [each for each in (body and body.refresh_token, cookies.get(request, "refresh")) if each]
    named = []
    for access_token in filter(None, (token, cookie)):
        with suppress(InvalidTokenError):
            claims = tokens.read_expired(access_token)
            named.append((claims.user_id, claims.session_id))
    if not (named or cookie or refresh_tokens):
        raise InvalidTokenError if token else UnauthenticatedError
    return LogOutTokens(named, refresh_tokens)


Leaving = Annotated[LogOutTokens, Depends(_leaving)]

ACCESS: Final[Mapping[Callable[..., Any], Access]] = {
    logged_in: Access.LOGIN,
    visitor: Access.VISITOR,
    _leaving: Access.VISITOR,
    _tokens_as_cookies: Access.PAGE,
    _cookie_exchange: Access.REFRESHING_PAGE,
}
"""What the description says of routes that depend on these."""
ERRORS_OF_LOGINS: Final = (InvalidTokenError, EmailNotVerifiedError)
"""What the types above refuse with, wherever a route demands them."""
