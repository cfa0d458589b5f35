"""Routes to reset and change passwords."""

from crema.accounts.deps import (
    HASHING_ADMISSION,
    HashingAdmission,
    OneTimeCodes,
    PasswordHashing,
    RequestOrigin,
    VerifiedActor,
    cookie_actor,
)
from crema.accounts.routes.people import ACCEPTED
from crema.accounts.schemas import AcceptedOut, ChangePassword, Mention, ResetPassword
from crema.accounts.service import recovery
from crema.web.clock import Now
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.transaction import Transaction

router = make_router("Users management", cookie_actor)


@router.post("/password/forgot", status_code=202, summary="Ask for a new password", responses=error_responses(422))
async def forgot_password(
    body: Mention, tx: Transaction, origin: RequestOrigin, codes: OneTimeCodes, now: Now
) -> AcceptedOut:
    await recovery.request_reset(tx, email=body.email, origin=origin, codes=codes, now=now)
    return ACCEPTED


@router.post(
    "/password/reset", status_code=204, summary="Set a new password with a code", responses=error_responses(422, 429)
)
async def reset_password(
    body: ResetPassword,
    tx: Transaction,
    origin: RequestOrigin,
    admission: HashingAdmission,
    codes: OneTimeCodes,
    now: Now,
) -> None:
    """Ends every login of the account."""
    await recovery.reset(tx, wanted=body, origin=origin, admission=admission, codes=codes, now=now)


@router.post(
    "/password/change",
    status_code=204,
    summary="Change the password",
    responses=error_responses(401, 403, 422, 429),
    dependencies=[HASHING_ADMISSION],
)
async def change_password(
    body: ChangePassword,
    tx: Transaction,
    actor: VerifiedActor,
    passwords: PasswordHashing,
    origin: RequestOrigin,
    now: Now,
) -> None:
    """Ends every other login of the account."""
    await recovery.change(tx, actor=actor, wanted=body, network=origin.network, passwords=passwords, now=now)
