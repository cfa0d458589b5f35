"""Routes for administrators to see and resend mails. Here because `notifications` can't import permissions."""

from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Idempotent, MailEditor
from crema.accounts.schemas import MailOut
from crema.notifications import queries
from crema.notifications.queries import MAILS
from crema.notifications.service import resending
from crema.web.clock import Now
from crema.web.listing import PageOut, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Operations")


@router.get(
    "/mails", summary="List mails", openapi_extra=listing_parameters(MAILS), responses=error_responses(401, 403, 422)
)
async def list_mails(request: Request, response: Response, reader: Reads, actor: MailEditor) -> PageOut[MailOut]:
    """Mails of the last 30 days, without their text, because it may contain codes."""
    query = parse_list_query(request, MAILS, actor.permissions)
    return page_out(request, response, await queries.list_mails(reader, query=query), MailOut.model_validate)


@router.post(
    "/mail/{mail_id}/resend",
    status_code=202,
    summary="Send a mail again",
    responses=error_responses(401, 403, 404, 409, 422),
)
async def resend_mail(mail_id: UUID, tx: Transaction, _: MailEditor, now: Now, _idempotent: Idempotent) -> MailOut:
    """Only a mail that failed or expired, and whose content is still valid: an expired code is not sent again."""
    return MailOut.model_validate(await resending.resend(tx, mail_id=mail_id, now=now))
