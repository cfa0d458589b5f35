"""The page of mails a developer without an SMTP server would miss."""

import httpx2
import pytest
from pydantic import SecretStr

from crema.app import create_app
from crema.db.session import Sessions
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail
from crema.settings import Settings
from fixtures.app import http_routes

pytestmark = pytest.mark.anyio
EVIL = "<script>alert(1)</script>"


async def test_it_shows_mails_with_their_codes_and_runs_nothing(client: httpx2.AsyncClient, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        context = {"code": "042137", "minutes": 15, "name": EVIL}
        await notifications.send(session, [OutgoingMail("anna@example.com", "verification_code", "en", context)])

    page = await client.get("/mailbox")

    assert page.status_code == 200
    assert "anna@example.com" in page.text
    assert "042137" in page.text
    assert EVIL not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "changes",
    [
        {"env": "production", "database_url": "postgresql://x/y", "log_format": "json"},
        {"smtp_url": SecretStr("smtp+plain://mail")},
    ],
)
def test_it_is_not_there_in_production_nor_with_a_mail_server(settings: Settings, changes: dict[str, object]) -> None:
    app = create_app(settings.model_copy(update=changes))

    assert "/mailbox" not in app.openapi()["paths"]
    assert not {"/mailbox", "/mailbox.json"} & {route.path for route in http_routes(app)}
