"""The dependencies of routes: the authenticated actor, and the permission that a route's signature demands."""

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
from crema.accounts.schemas import LogOut, Refresh, SignedInOut, TokenMode, TokensOut, UserOut
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import (
    EmailNotVerifiedError,
    InvalidRefreshTokenError,
    Logins,
    Tokens,
    mark_tokens_used,
)
from crema.accounts.service.passwords import Admission, Passwords
from crema.accounts.service.people import BeforeDeletion
from crema.accounts.service.registration import Credentials, Origin
from crema.accounts.service.tokens import AccessClaims, AccessTokens, InvalidTokenError
from crema.accounts.service.verification import VerificationResult
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
    """The services and settings of accounts that the application holds."""

    passwords: Passwords
    codes: Codes
    logins: Logins
    registrations_per_network: int
    before_deletion: Sequence[BeforeDeletion]
    """Hooks of the features above, which are called before a person is deleted."""


def _access_tokens(request: Request) -> AccessTokens:
    return state_of(request.app, AccountsState).logins.access_tokens


async def _find_actor(request: Request, reader: Reader, claims: AccessClaims, now: datetime) -> Actor | None:
    """Return the actor an access token names, and record its first use after a refresh."""
    actor = await queries.find_actor(
        reader, user_id=claims.user_id, session_id=claims.session_id, pair=claims.pair, now=now
    )
    if actor is None:
        return None
    if actor.is_first_use:  # a transaction of its own, since the request may open none
        async with state_of(request.app, DatabaseState).sessions.begin() as session:
            await mark_tokens_used(session, session_id=claims.session_id, pair=claims.pair)
    structlog.contextvars.bind_contextvars(user_id=str(claims.user_id))
    request.state.author = Author(actor.user_id, actor.role, is_staff=bool(actor.permissions))
    return actor


async def cookie_actor(request: Request, reader: IdentityReads, now: Now) -> Actor | None:
    """Return the actor whose cookie was sent, or None. An invalid cookie is deleted, and the request is not refused.

    `web.browser.HostAndCsrfMiddleware` has checked that the cookie comes from one of our pages where that matters.
    """
    cookies = state_of(request.app, WebState).cookies
    token = cookies.get(request, "access")
    if token is None or bearer_token(request.headers) is not None:
        return None
    try:
        claims = _access_tokens(request).read(token, now=now)
    except InvalidTokenError:
        cookies.drop_later(request, "access")  # the refresh token may still be valid
        return None
    actor = await _find_actor(request, reader, claims, now)
    if actor is None:
        cookies.drop_later(request, "access", "refresh")
    return actor


async def optional_actor(
    request: Request,
    reader: IdentityReads,
    now: Now,
    token: Annotated[str | None, Depends(_bearer)],
    by_cookie: Annotated[Actor | None, Depends(cookie_actor)],
) -> Actor | None:
    """Return the authenticated actor, or None for anonymous requests.

    An invalid bearer token is refused, also where no login is needed.
    """
    if token is None:
        return by_cookie
    actor = await _find_actor(request, reader, _access_tokens(request).read(token, now=now), now)
    if actor is None:
        raise InvalidTokenError
    return actor


OptionalActor = Annotated[Actor | None, Depends(optional_actor)]


async def logged_in_actor(actor: OptionalActor) -> Actor:
    """Return the actor, whether or not their e-mail address is verified; refuse anonymous requests."""
    if actor is None:
        raise UnauthenticatedError
    return actor


LoggedInActor = Annotated[Actor, Depends(logged_in_actor)]


async def verified_actor(actor: LoggedInActor) -> Actor:
    """Return the actor; refuse anonymous requests and actors whose e-mail address is not verified."""
    if not actor.is_verified:
        raise EmailNotVerifiedError
    return actor


def _require(*permissions: str) -> Callable[[Actor], Coroutine[Any, Any, Actor]]:
    async def check(actor: VerifiedActor) -> Actor:
        if not any(map(actor.may, permissions)):
            raise ForbiddenError(f"This needs the permission {' or '.join(permissions)}.")
        return actor

    return check


VerifiedActor = Annotated[Actor, Depends(verified_actor)]
MenuEditor = Annotated[Actor, Depends(_require("menu:write"))]
ShopEditor = Annotated[Actor, Depends(_require("shops:write"))]
OrderReader = Annotated[Actor, Depends(_require("orders:read"))]
OrderStaff = Annotated[Actor, Depends(_require("orders:write"))]
ShopStaff = Annotated[Actor, Depends(_require("shops:write", "orders:write"))]
StockKeeper = Annotated[Actor, Depends(_require("stock:write"))]
UserEditor = Annotated[Actor, Depends(_require("users:write"))]
SupportStaff = Annotated[Actor, Depends(_require("support:write"))]
MailEditor = Annotated[Actor, Depends(_require("mails:write"))]
RoleEditor = Annotated[Actor, Depends(_require("roles:write"))]


_MODE: Final = "`cookie`: the tokens are set as cookies and the body has only the user. Call `GET /csrf` before."

_LOGIN: Final = "`true`: respond with a login. For a new e-mail address only together with `password`."


async def _origin(request: Request, language: Language) -> Origin:
    """Return where the request comes from: the network of the client's address, the User-Agent and the language."""
    host = request.client.host if request.client else ""
    return Origin(network=network_of(host), user_agent=request.headers.get("user-agent", "")[:300], language=language)


async def _passwords(request: Request) -> Passwords:
    return state_of(request.app, AccountsState).passwords


async def _admission(request: Request) -> AsyncIterator[Admission]:
    async with state_of(request.app, AccountsState).passwords.admission() as admission:
        yield admission


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
HASHING_ADMISSION: Final = Depends(_admission, scope="function")
"""For requests that always hash: each waits for admission before its first statement."""
HashingAdmission = Annotated[Admission, HASHING_ADMISSION]
RegistrationLimit = Annotated[int, Depends(_registration_limit)]
OneTimeCodes = Annotated[Codes, Depends(_codes)]
LoginService = Annotated[Logins, Depends(_logins)]


async def _credentials(passwords: PasswordHashing, codes: OneTimeCodes) -> Credentials:
    return Credentials(passwords, codes)


UserCredentials = Annotated[Credentials, Depends(_credentials)]


async def _idempotent(request: Request, actor: VerifiedActor, idempotency_key: IdempotencyKey = None) -> None:
    if idempotency_key is not None:
        await answer_once(request, user_id=actor.user_id, key=idempotency_key)


Idempotent = Annotated[None, Depends(_idempotent)]
"""Accepts an `Idempotency-Key`. The last parameter of a POST that creates or adds, after its transaction and actor."""


class LoginsToEnd(NamedTuple):
    """The logins to end: pairs of user and session id, and refresh tokens."""

    sessions: Sequence[tuple[UUID, UUID]]
    refresh_tokens: Sequence[str]


class TokenResponse:
    """Sends a login's tokens in the way the client asked for: in the body, or in cookies."""

    def __init__(self, request: Request, response: Response, mode: TokenMode) -> None:
        self._request = request
        self._cookies = state_of(request.app, WebState).cookies
        logins = state_of(request.app, AccountsState).logins
        self._lifetimes = logins.access_tokens.lifetime, logins.lifetime
        self._given = self._cookies.get(request, "refresh")
        self._response = response
        self._mode = mode

    def respond(self, tokens: Tokens) -> TokensOut | SignedInOut:
        """Return the tokens as a body, or set them as cookies and return the user."""
        return TokensOut.model_validate(tokens) if self._mode == "token" else self.set_cookies(tokens)

    def set_cookies(self, tokens: Tokens) -> SignedInOut:
        """Set the tokens as cookies and return the user."""
        for_access, for_refresh = self._lifetimes
        self._cookies.put(self._response, "access", tokens.access_token, lifetime=for_access)
        self._cookies.put(self._response, "refresh", tokens.refresh_token, lifetime=for_refresh)
        return SignedInOut.model_validate(tokens)

    def refresh_token_of(self, sent: Refresh | None) -> str:
        """Return the refresh token of the body or, in cookie mode, of its cookie."""
        if sent is not None:
            return sent.refresh_token
        if self._mode != "cookie" or self._given is None:
            raise InvalidRefreshTokenError("Send the refresh token in the body, or in its cookie to /refresh/cookie.")
        # A refused token is deleted; a valid one is replaced by the response.
        self._cookies.drop_later(self._request, "access", "refresh")
        token: str = self._given
        return token


@dataclass(frozen=True, slots=True)
class VerifiedResponse:
    """Sends the person whose address was verified, or a login where the client asked for one."""

    tokens: TokenResponse
    wants_login: bool

    def respond(self, verified: VerificationResult) -> UserOut | TokensOut | SignedInOut:
        """Return the person or, where a login was asked for, what `TokenResponse.respond` returns."""
        return self.tokens.respond(verified.tokens) if verified.tokens else UserOut.model_validate(verified.user)


# `mode` and `login` change the shape of the response, which OpenAPI can't describe. So they are accepted but left out
# of the description: the routes that end in `/cookie` do the same with one shape each.
async def _tokens_by_mode(
    request: Request,
    response: Response,
    mode: Annotated[TokenMode, Query(description=_MODE, include_in_schema=False)] = "token",
) -> TokenResponse:
    return TokenResponse(request, response, mode)


async def _verified_by_mode(
    tokens: Annotated[TokenResponse, Depends(_tokens_by_mode)],
    login: Annotated[bool, Query(description=_LOGIN, include_in_schema=False)] = False,  # noqa: FBT002 - a query parameter
) -> VerifiedResponse:
    return VerifiedResponse(tokens, login)


async def _tokens_in_cookies(request: Request, response: Response) -> TokenResponse:
    return TokenResponse(request, response, "cookie")


async def _cookie_refresh(request: Request, response: Response) -> TokenResponse:
    return TokenResponse(request, response, "cookie")


TokensByMode = Annotated[TokenResponse, Depends(_tokens_by_mode)]
VerifiedByMode = Annotated[VerifiedResponse, Depends(_verified_by_mode)]
TokensInCookies = Annotated[TokenResponse, Depends(_tokens_in_cookies)]
"""`web.browser.HostAndCsrfMiddleware` checks the CSRF token on the routes that use it."""
CookieRefresh = Annotated[TokenResponse, Depends(_cookie_refresh)]
"""The same for routes that read the refresh token from its cookie."""


async def _logins_to_end(
    request: Request, token: Annotated[str | None, Depends(_bearer)], body: LogOut | None = None
) -> LoginsToEnd:
    """Return the logins that a request to log out names.

    A bearer token must be one of ours, expired or not, unless something else names a login. Invalid cookies are
    accepted: only the server can delete them, so every browser must be able to have them deleted.
    """
    tokens = _access_tokens(request)
    cookies = state_of(request.app, WebState).cookies
    cookie = cookies.get(request, "access")
    refresh_tokens = [each for each in (body and body.refresh_token, cookies.get(request, "refresh")) if each]
    sessions = []
    for access_token in filter(None, (token, cookie)):
        with suppress(InvalidTokenError):
            claims = tokens.read_expired(access_token)
            sessions.append((claims.user_id, claims.session_id))
    if not (sessions or cookie or refresh_tokens):
        raise InvalidTokenError if token else UnauthenticatedError
    return LoginsToEnd(sessions, refresh_tokens)


LogOutTarget = Annotated[LoginsToEnd, Depends(_logins_to_end)]

ACCESS: Final[Mapping[Callable[..., Any], Access]] = {
    logged_in_actor: Access.LOGIN,
    optional_actor: Access.VISITOR,
    _logins_to_end: Access.VISITOR,
    _tokens_in_cookies: Access.PAGE,
    _cookie_refresh: Access.REFRESHING_PAGE,
}
"""The access that OpenAPI states for routes that depend on these."""
ACTOR_ERRORS: Final = (InvalidTokenError, EmailNotVerifiedError)
"""The errors of every route whose signature demands one of the types above."""
