"""Pages that a setting brings or takes away: the documentation, and where to report a vulnerability."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crema.db.session import Sessions
from crema.settings import Settings
from fixtures.app import SECRET, Clock, connect, make_app

pytestmark = pytest.mark.anyio
PAGES = ("/", "/docs", "/redoc", "/openapi.json", "/asyncapi.json", "/docs/live", "/docs/assets/docs.css")
SECURITY_TXT = "/.well-known/security.txt"


@pytest.mark.parametrize(("docs", "statuses"), [(True, {200, 307}), (False, {404})])
async def test_production_serves_its_documentation_unless_told_not_to(
    sessions: Sessions, clock: Clock, tmp_path: Path, *, docs: bool, statuses: set[int]
) -> None:
    settings = Settings(
        _env_file=None,
        env="production",
        secret_key=SECRET,
        data_dir=tmp_path,
        embedded=True,
        mail_to_console=True,
        docs=docs,
    )
    async with connect(make_app(settings, sessions, clock)) as client:
        answers = {path: (await client.get(path)).status_code for path in PAGES}
        menu = await client.get("/products")

    assert set(answers.values()) == statuses, answers
    assert menu.status_code == 200


async def security_txt(sessions: Sessions, clock: Clock, tmp_path: Path, **fields: Any) -> httpx2.Response:
    settings = Settings(_env_file=None, secret_key=SECRET, data_dir=tmp_path, **fields)
    async with connect(make_app(settings, sessions, clock)) as client:
        return await client.get(SECURITY_TXT)


async def test_security_txt_says_what_rfc_9116_wants(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    answer = await security_txt(
        sessions,
        clock,
        tmp_path,
        security_contact="security@crema.ru, https://crema.ru/security",
        public_url="https://api.crema.ru/",
    )

    fields = [line.split(": ", 1) for line in answer.text.splitlines()]
    expires = datetime.strptime(dict(fields)["Expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert [value for name, value in fields if name == "Contact"] == [
        "mailto:security@crema.ru",
        "https://crema.ru/security",
    ]
    assert [value for name, value in fields if name == "Canonical"] == [f"https://api.crema.ru{SECURITY_TXT}"]
    assert [name for name, _ in fields].count("Expires") == 1
    assert timedelta(days=170) < expires - clock.now < timedelta(days=365)


async def test_security_txt_is_not_there_without_a_contact(client: httpx2.AsyncClient) -> None:
    answer = await client.get(SECURITY_TXT)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
