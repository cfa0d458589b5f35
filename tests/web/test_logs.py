"""S9: what is logged is one line, commands no terminal, and holds no secret; in both formats."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import text

from crema import logs
from crema.db.session import make_engine
from crema.web.state import DatabaseState
from fixtures.app import change_state, connect

pytestmark = pytest.mark.anyio
FORMATS = ("json", "console")
SIGNS = [
    chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066, 0x200F, 0xFEFF, 0xD800)
]
COMMANDING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200f\u2028\u2029\u202e\u2066\ufeff\ud800]")


Read = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Read]:
    """Read what has been written; put logging back as it was."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    yield lambda: capsys.readouterr().err
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


def fail() -> None:
    raise RuntimeError("bad \x1b[2J\x9b2J\r\nforged")


def own_logger() -> Any:
    return structlog.get_logger("crema.test")


@pytest.mark.parametrize("log_format", FORMATS)
def test_s9_control_characters_are_escaped_wherever_they_stand(
    written: Read, log_format: Literal["json", "console"]
) -> None:
    logs.configure(log_format)
    all_signs = "".join(SIGNS)

    own_logger().info(f"event{all_signs}", path=f"/{all_signs}", parts=[all_signs, {all_signs: all_signs}])
    logging.getLogger("uvicorn.error").warning("of a library: %s", all_signs)
    output = written()
    lines = output.splitlines()

    assert len(lines) == 2
    assert not COMMANDING.search(output)
    for line in lines:
        assert line.count("\\x1b") >= 1
        assert line.count("\\x9b") >= 1
        assert line.count("\\u202e") >= 1


@pytest.mark.parametrize("log_format", FORMATS)
def test_s9_what_an_exception_says_is_escaped_and_stays_readable(
    written: Read, log_format: Literal["json", "console"]
) -> None:
    logs.configure(log_format)
    try:
        fail()
    except RuntimeError:
        own_logger().exception("unhandled")
        logging.getLogger("uvicorn.error").exception("of a library")

    output = written()
    assert not COMMANDING.search(output)
    assert output.count("test_logs.py") >= 2
    assert "bad \\x1b[2J\\x9b2J\\r" in output.replace("\\\\", "\\")
    if log_format == "json":
        assert [json.loads(line)["event"] for line in output.splitlines()] == ["unhandled", "of a library"]


@pytest.mark.parametrize("log_format", FORMATS)
def test_s9_names_of_secrets_and_credentials_in_addresses_are_blanked(
    written: Read, log_format: Literal["json", "console"]
) -> None:
    logs.configure(log_format)

    own_logger().info(
        "e", password="swordfish", body={"new_password": "swordfish", "deep": [{"refresh_token": "swordfish"}]}
    )
    logging.getLogger("asyncpg").warning("no answer of postgresql://crema:swordfish@db/crema")

    output = written()
    assert "swordfish" not in output
    assert "postgresql://crema:***@db/crema" in output


@pytest.mark.parametrize("log_format", FORMATS)
def test_ordinary_text_is_logged_as_it_is(written: Read, log_format: Literal["json", "console"]) -> None:
    logs.configure(log_format)

    own_logger().info("request", path="/заказ/латте-№1 ☕", status=200, ms=1.5, client=None)

    line = written()
    assert "/заказ/латте-№1 ☕" in line
    if log_format == "json":
        assert {"status": 200, "ms": 1.5, "client": None}.items() <= json.loads(line).items()


async def test_s9_a_statement_that_fails_tells_no_values(server_url: str) -> None:
    engine = make_engine(server_url)
    async with engine.connect() as connection:
        with pytest.raises(Exception, match="division by zero") as failed:
            await connection.execute(text("SELECT 1 / 0, :secret"), {"secret": "swordfish"})
    await engine.dispose()

    assert "swordfish" not in str(failed.value)


@pytest.mark.parametrize(
    ("address", "network"), [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64")]
)
async def test_each_line_of_a_request_names_the_client_s_network(app: FastAPI, address: str, network: str) -> None:
    change_state(app, DatabaseState, sessions=None)  # so that something else is logged, too

    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with connect(app, address=address) as client:
            answer: httpx2.Response = await client.get("/health/ready")

    assert answer.status_code == 500
    assert [line["event"] for line in lines] == ["unhandled", "request"]
    assert {line["client"] for line in lines} == {network}
    assert address not in str([{**line, "exc_info": None} for line in lines])
