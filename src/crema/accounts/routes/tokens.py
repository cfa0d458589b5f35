"""Routes of access tokens, refresh tokens and logins."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from crema.accounts import queries
from crema.accounts.deps import (
    CookieRefresh,
    HashingAdmission,
    LoginService,
    LogOutTarget,
    RequestOrigin,
    TokensByMode,
    TokensInCookies,
    UserCredentials,
    VerifiedActor,
    cookie_actor,
)
from crema.accounts.queries import SESSIONS
from crema.accounts.schemas import LogInForm, Refresh, SessionOut, SignedInOut, TokensOut, Verify
from crema.accounts.service import logins as sessions
from crema.accounts.service import verification
from crema.web.clock import Now
from crema.web.forms import form_or_json, form_or_json_schema
from crema.web.listing import PageOut, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.state import WebState, state_of
from crema.web.transaction import Reads, Transaction

router = make_router("Working with JWT", cookie_actor)


@router.post(
    "/access",
    summary="Log in with a form (OAuth2)",
    openapi_extra=form_or_json_schema(LogInForm),
    response_model=None,
    responses={200: {"model": TokensOut}, **error_responses(401, 403, 422, 429)},
)
async def log_in_with_form(
    form: Annotated[LogInForm, Depends(form_or_json(LogInForm))],
    tx: Transaction,
    origin: RequestOrigin,
    admission: HashingAdmission,
    logins: LoginService,
    now: Now,
    answer: TokensByMode,
) -> TokensOut | SignedInOut:
    """The same response as `/authentication`. Swagger's *Authorize* uses this route. JSON is accepted, too."""
    tokens = await logins.log_in(
        tx, email=form.username, password=form.password, origin=origin, admission=admission, now=now
    )
    return answer.respond(tokens)


@router.post(
    "/refresh",
    summary="Get the next pair of tokens",
    response_model=None,
    responses={200: {"model": TokensOut}, **error_responses(401, 422)},
)
async def refresh(
    tx: Transaction, logins: LoginService, now: Now, answer: TokensByMode, body: Refresh | None = None
) -> TokensOut | SignedInOut:
    """Uses the refresh token up and returns a new pair. Sent again, the old token gets the same pair.

    So nothing is lost with a response that doesn't arrive. Once one token of the new pair is used, and 10 seconds have
    passed, the old refresh token ends the whole login.
    """
    return answer.respond(await logins.refresh(tx, refresh_token=answer.refresh_token_of(body), now=now))


@router.post(
    "/refresh/cookie", summary="Get the next pair of tokens in cookies", responses=error_responses(401, 403, 422)
)
async def refresh_with_cookies(tx: Transaction, logins: LoginService, now: Now, answer: CookieRefresh) -> SignedInOut:
    """For web pages: the refresh token is read from its cookie. Otherwise like `/refresh`."""
    return answer.set_cookies(await logins.refresh(tx, refresh_token=answer.refresh_token_of(None), now=now))


@router.post(
    "/verification/login", summary="Verify an address and log in", responses=error_responses(403, 409, 422, 429)
)
async def verify_and_log_in(
    body: Verify,
    tx: Transaction,
    origin: RequestOrigin,
    credentials: UserCredentials,
    logins: LoginService,
    now: Now,
) -> TokensOut:
    """Like `/verification`, with the answer of a login. For a new e-mail address only together with `password`."""
    verified = await verification.verify(
        tx, wanted=body, wants_login=True, origin=origin, credentials=credentials, logins=logins, now=now
    )
    return TokensOut.model_validate(verification.tokens_of(verified))


@router.post(
    "/verification/login/cookie",
    summary="Verify an address and log in with cookies",
    responses=error_responses(403, 409, 422, 429),
)
async def verify_and_log_in_with_cookies(
    body: Verify,
    tx: Transaction,
    origin: RequestOrigin,
    credentials: UserCredentials,
    logins: LoginService,
    now: Now,
    answer: TokensInCookies,
) -> SignedInOut:
    """For web pages: the tokens are set as cookies. Call `GET /csrf` before."""
    verified = await verification.verify(
        tx, wanted=body, wants_login=True, origin=origin, credentials=credentials, logins=logins, now=now
    )
    return answer.set_cookies(verification.tokens_of(verified))


@router.post("/logout", status_code=204, summary="Log out", responses=error_responses(401, 422))
async def log_out(request: Request, response: Response, tx: Transaction, target: LogOutTarget, now: Now) -> None:
    """The login is named by the access token, by a refresh token in the body, or by cookies, expired or not.

    Its access token and refresh token stop working at once, and cookies are deleted.
    """
    await sessions.log_out(tx, logins=target.sessions, refresh_tokens=target.refresh_tokens, now=now)
    state_of(request.app, WebState).cookies.drop(response)


@router.get(
    "/sessions",
    summary="List my logins",
    openapi_extra=listing_parameters(SESSIONS),
    responses=error_responses(401, 403, 422),
)
async def list_sessions(
    request: Request, response: Response, reader: Reads, actor: VerifiedActor, now: Now
) -> PageOut[SessionOut]:
    query = parse_list_query(request, SESSIONS, actor.permissions)
    page = await queries.list_sessions(reader, user_id=actor.user_id, now=now, query=query)
    return page_out(request, response, page, lambda login: SessionOut.of(login, current=actor.session_id))


@router.delete(
    "/session/{session_id}", status_code=204, summary="End a login", responses=error_responses(401, 403, 404, 422)
)
async def end_session(session_id: UUID, tx: Transaction, actor: VerifiedActor, now: Now) -> None:
    await sessions.end_own_session(tx, actor=actor, session_id=session_id, now=now)
