"""/mailbox: the mails of a server that runs without SMTP, for development. It is absent in production."""

from typing import Any, Final

from fastapi import Request
from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, JSONResponse

from crema.core.instants import format_instant
from crema.notifications import queries
from crema.notifications.deps import MailState
from crema.web.routing import make_pages_router
from crema.web.state import state_of
from crema.web.transaction import Transaction

router = make_pages_router()

# A mail's HTML has inline styles; scripts, forms and everything else are refused, and the frame is sandboxed.
_CSP: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_PAGES: Final = Environment(loader=PackageLoader("crema.notifications"), autoescape=True)


@router.get("/mailbox")
async def mailbox(request: Request, tx: Transaction) -> HTMLResponse:
    """Return a page with the latest mails and their texts."""
    mail_renderer = state_of(request.app, MailState).mail_renderer
    mails = await _latest(request, tx)
    page = _PAGES.get_template("mailbox.html.j2").render(mails=mails, chain=mail_renderer.chain)
    return HTMLResponse(page, headers={"Content-Security-Policy": _CSP})


@router.get("/mailbox.json")
async def mailbox_as_json(request: Request, tx: Transaction) -> JSONResponse:
    """Return the same mails as JSON, for programs such as tests that need a code."""
    items = [{**mail, "created_at": format_instant(mail["created_at"])} for mail in await _latest(request, tx)]
    return JSONResponse({"items": [{name: mail[name] for name in mail if name != "html"} for mail in items]})


async def _latest(request: Request, tx: Transaction) -> list[dict[str, Any]]:
    mail_renderer = state_of(request.app, MailState).mail_renderer
    return [
        {
            "recipient": mail.recipient,
            "status": mail.status,
            "created_at": mail.created_at,
            "subject": rendered.subject,
            "text": rendered.text,
            "html": rendered.html,
        }
        for mail in await queries.list_latest(tx)
        for rendered in [mail_renderer.render(template=mail.template, language=mail.language, context=mail.context)]
    ]
