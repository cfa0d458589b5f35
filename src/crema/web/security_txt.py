"""/.well-known/security.txt, where to report a vulnerability (RFC 9116)."""

from datetime import timedelta
from typing import Final

from fastapi import Request
from fastapi.responses import PlainTextResponse

from crema.core.errors import NotFoundError
from crema.web.clock import Now
from crema.web.routing import make_pages_router
from crema.web.state import WebState, state_of

VALID: Final = timedelta(days=180)
"""How long an answer is valid: less than a year, as RFC 9116 asks."""

router = make_pages_router()


@router.get("/.well-known/security.txt")
async def security_txt(request: Request, now: Now) -> PlainTextResponse:
    """Serve security.txt; 404 without a contact in the settings."""
    state = state_of(request.app, WebState)
    if not state.security_contacts:
        raise NotFoundError
    expires = (now + VALID).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        *(f"Contact: {contact}" for contact in state.security_contacts),
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: ru, en",
    ]
    if state.public_url and state.public_url.startswith("https://"):
        lines.append(f"Canonical: {state.public_url.rstrip('/')}/.well-known/security.txt")
    return PlainTextResponse("".join(f"{line}\n" for line in lines))
