"""Routes of registration, login and accounts."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response

from crema.accounts import queries
from crema.accounts.deps import (
    HASHING_ADMISSION,
    SELF,
    USER,
    DeletionSteps,
    HashingAdmission,
    Idempotent,
    LoginService,
    OneTimeCodes,
    RegistrationLimit,
    RequestOrigin,
    TokensByMode,
    TokensInCookies,
    UserCredentials,
    UserEditor,
    VerifiedActor,
    VerifiedByMode,
    cookie_actor,
)
from crema.accounts.queries import USERS
from crema.accounts.schemas import (
    AcceptedOut,
    ChangeUser,
    LogIn,
    Register,
    RegisteredOut,
    ReplaceUser,
    Resend,
    SignedInOut,
    TokensOut,
    UserOut,
    Verify,
)
from crema.accounts.service import people, registration, verification
from crema.accounts.service.addresses import ChangeContext
from crema.web.clock import Now
from crema.web.listing import PageOut, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import IdentityReads, Reads, Transaction

router = make_router("Users management", cookie_actor)
Force = Annotated[
    bool, Query(description="First cancel the person's orders in progress, and notify customers and shops.")
]
ACCEPTED = AcceptedOut(detail="If this address has an account, a mail is on its way.")


@router.post(
    "/registration",
    status_code=201,
    summary="Register",
    responses=LOCATED | error_responses(409, 422, 429),
    dependencies=[HASHING_ADMISSION],
)
async def register(
    body: Register,
    response: Response,
    tx: Transaction,
    origin: RequestOrigin,
    credentials: UserCredentials,
    limit: RegistrationLimit,
    now: Now,
) -> RegisteredOut:
    """Sends a six-digit code by mail. A code confirms only the registration it was sent for.

    Keep the `registration_id` and send it with the code: somebody else may register the same address meanwhile.
    """
    made = await registration.register(tx, wanted=body, origin=origin, credentials=credentials, limit=limit, now=now)
    response.headers["Location"] = f"/user/{made.user.id}"
    return RegisteredOut.of(made.user, name=made.name, phone=made.phone, registration_id=made.registration_id)


@router.post(
    "/verification",
    summary="Verify an address",
    response_model=None,
    responses={200: {"model": UserOut}, **error_responses(403, 409, 422, 429)},
)
async def verify(
    body: Verify,
    tx: Transaction,
    origin: RequestOrigin,
    credentials: UserCredentials,
    logins: LoginService,
    now: Now,
    answer: VerifiedByMode,
) -> UserOut | TokensOut | SignedInOut:
    """A code is valid for 15 minutes, five tries and one use. The same request sent twice gets the same response.

    With `registration_id` or `password` the code confirms only that registration. This route also confirms a new
    e-mail address; `password` is then that of the account.
    """
    verified = await verification.verify(
        tx,
        wanted=body,
        wants_login=answer.wants_login,
        origin=origin,
        credentials=credentials,
        logins=logins,
        now=now,
    )
    return answer.respond(verified)


@router.post(
    "/verification/resend", status_code=202, summary="Send the code again", responses=error_responses(401, 422, 429)
)
async def resend_code(
    body: Resend,
    tx: Transaction,
    origin: RequestOrigin,
    credentials: UserCredentials,
    now: Now,
) -> AcceptedOut:
    """Sends the code of the registration that `registration_id` or `password` names; by default of the first one."""
    await registration.resend(tx, wanted=body, origin=origin, credentials=credentials, now=now)
    return ACCEPTED


@router.post(
    "/authentication",
    summary="Log in",
    response_model=None,
    responses={200: {"model": TokensOut}, **error_responses(401, 403, 422, 429)},
)
async def authenticate(
    body: LogIn,
    tx: Transaction,
    origin: RequestOrigin,
    admission: HashingAdmission,
    logins: LoginService,
    now: Now,
    answer: TokensByMode,
) -> TokensOut | SignedInOut:
    """After many wrong logins from one network, responses to that network take some seconds."""
    tokens = await logins.log_in(
        tx, email=body.email, password=body.password, origin=origin, admission=admission, now=now
    )
    return answer.respond(tokens)


@router.post("/authentication/cookie", summary="Log in with cookies", responses=error_responses(401, 403, 422, 429))
async def authenticate_with_cookies(
    body: LogIn,
    tx: Transaction,
    origin: RequestOrigin,
    admission: HashingAdmission,
    logins: LoginService,
    now: Now,
    answer: TokensInCookies,
) -> SignedInOut:
    """For web pages: the tokens are set as cookies that scripts can't read. Call `GET /csrf` before."""
    tokens = await logins.log_in(
        tx, email=body.email, password=body.password, origin=origin, admission=admission, now=now
    )
    return answer.set_cookies(tokens)


@router.post("/me", summary="Who am I", operation_id="postMe", responses=error_responses(401, 403, 422))
@router.get("/me", summary="Who am I", responses=error_responses(401, 403, 422))
async def see_me(reader: IdentityReads, actor: VerifiedActor, _: Annotated[None, SELF.shown]) -> UserOut:
    return UserOut.model_validate(await queries.get_user_view(reader, actor=actor, user_id=actor.user_id))


@router.get(
    "/users", summary="List people", openapi_extra=listing_parameters(USERS), responses=error_responses(401, 403, 422)
)
async def list_users(request: Request, response: Response, reader: Reads, actor: UserEditor) -> PageOut[UserOut]:
    query = parse_list_query(request, USERS, actor.permissions)
    return page_out(request, response, await queries.list_users(reader, query=query), UserOut.model_validate)


@router.get(
    "/user/{user_id}", summary="See a person", dependencies=[USER.shown], responses=error_responses(401, 403, 404, 422)
)
async def see_user(user_id: UUID, reader: Reads, actor: VerifiedActor) -> UserOut:
    """Everybody may see themselves, administrators anyone."""
    return UserOut.model_validate(await queries.get_user_view(reader, actor=actor, user_id=user_id))


@router.put(
    "/user/{user_id}",
    summary="Replace a person",
    dependencies=[USER.edited],
    responses=error_responses(401, 403, 404, 409, 422, 429),
)
async def replace_user(
    user_id: UUID,
    body: ReplaceUser,
    tx: Transaction,
    actor: VerifiedActor,
    origin: RequestOrigin,
    credentials: UserCredentials,
    now: Now,
) -> UserOut:
    """A new e-mail address is the `pending_email` until `/verification` gets the code that is mailed to it.

    Then it replaces the old one, and all other logins end. A new address needs `current_password`.
    """
    context = ChangeContext(actor, origin, credentials)
    return UserOut.model_validate(await people.replace(tx, context=context, user_id=user_id, wanted=body, now=now))


@router.patch(
    "/user/{user_id}",
    summary="Change a person",
    dependencies=[USER.edited],
    responses=error_responses(401, 403, 404, 409, 422, 429),
)
async def change_user(
    user_id: UUID,
    body: ChangeUser,
    tx: Transaction,
    actor: VerifiedActor,
    origin: RequestOrigin,
    credentials: UserCredentials,
    now: Now,
) -> UserOut:
    """Like PUT, but changes only the fields that are sent."""
    context = ChangeContext(actor, origin, credentials)
    return UserOut.model_validate(await people.change(tx, context=context, user_id=user_id, wanted=body, now=now))


@router.post(
    "/user/{user_id}/email/resend",
    status_code=202,
    summary="Send the code for a new address again",
    responses=error_responses(401, 403, 404, 422, 429),
)
async def resend_email_code(
    user_id: UUID,
    tx: Transaction,
    actor: VerifiedActor,
    origin: RequestOrigin,
    codes: OneTimeCodes,
    now: Now,
    _idempotent: Idempotent,
) -> AcceptedOut:
    """Sends it to the `pending_email`; 404 if there is none."""
    await people.resend_email_code(tx, actor=actor, user_id=user_id, origin=origin, codes=codes, now=now)
    return AcceptedOut(detail="A mail is on its way to the new address.")


@router.delete(
    "/user/{user_id}/email",
    status_code=204,
    summary="Cancel a change of address",
    responses=error_responses(401, 403, 404, 422),
)
async def withdraw_email_change(user_id: UUID, tx: Transaction, actor: VerifiedActor) -> None:
    """Clears the `pending_email`; the verified address stays."""
    await people.withdraw_email_change(tx, actor=actor, user_id=user_id)


@router.delete(
    "/user/{user_id}",
    status_code=204,
    summary="Delete a person",
    dependencies=[USER.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def delete_user(
    user_id: UUID, tx: Transaction, actor: VerifiedActor, now: Now, before: DeletionSteps, *, force: Force = False
) -> None:
    """Erases name, addresses, password and cart at once. Orders stay, without the name.

    What the person wrote in orders and in the support chat, with its files, is erased `CREMA_ERASE_AFTER` later.
    """
    await people.delete_user(tx, actor=actor, user_id=user_id, force=force, before=before, now=now)
