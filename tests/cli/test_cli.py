"""The command line: what it refuses, and what its commands do."""

import asyncio
import base64
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from crema import cli, startup
from crema.settings import KNOWN_SECRETS, Settings
from fixtures.forking import fork
from fixtures.server import environment_of

SECRET = "5d0f8a1c93b7e6422f71c08d9ae35b64"
SMTP = "smtp://mail.example.com:587"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def crema(*arguments: str, data_dir: Path, **environment: str) -> Done:
    """Run the command in a process of its own."""
    output, errors = data_dir.with_suffix(".out"), data_dir.with_suffix(".err")
    process = fork(*arguments, environment=environment_of(data_dir) | environment, output=output, errors=errors)
    try:
        return Done(process.wait(60), output.read_text(), errors.read_text())
    finally:
        process.kill()


def invoke(*arguments: str, database_url: str, **environment: str) -> Result:
    """Run the command in this process, without the seconds of its imports."""
    return CliRunner().invoke(cli.app, arguments, env={"CREMA_DATABASE_URL": database_url} | environment)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.logs, "configure", lambda _: None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "CREMA_SECRET_KEY is required"),
        ({"secret_key": "short"}, "at least 32 bytes"),
        ({"secret_key": "a" * 32}, "easy to guess"),
        ({"secret_key": "ab" * 16}, "easy to guess"),
        ({"secret_key": "12345678901234567890123456789012"}, "easy to guess"),
        ({"secret_key": "for-a-look-only-for-a-look-only-for-a-look"}, "easy to guess or published"),
        ({"secret_key": SECRET}, "CREMA_SMTP_URL"),
        ({"secret_key": SECRET, "smtp_url": ""}, "CREMA_SMTP_URL"),
        ({"secret_key": SECRET, "smtp_url": SMTP}, "CREMA_DATABASE_URL"),
        ({"secret_key": SECRET, "smtp_url": SMTP, "embedded": True, "demo": True}, "CREMA_DEMO"),
    ],
)
def test_production_refuses_what_nobody_chose(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(_env_file=None, env="production", **fields)


def test_production_prints_mails_only_where_that_is_chosen() -> None:
    settings = Settings(_env_file=None, env="production", secret_key=SECRET, embedded=True, mail_to_console=True)

    assert settings.smtp_url is None


def test_random_secrets_are_taken_in_every_form_people_make_them() -> None:
    for make in (secrets.token_hex, secrets.token_urlsafe, secrets.token_bytes):
        for _ in range(40):
            made = make(32)
            text = base64.b64encode(made).decode() if isinstance(made, bytes) else made
            assert Settings(_env_file=None, env="production", secret_key=text, smtp_url=SMTP, embedded=True)


def demo_environment() -> dict[str, str]:
    lines = (ROOT / "deploy" / "demo.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_demo_s_key_is_known_and_refused_in_production() -> None:
    assert demo_environment()["CREMA_SECRET_KEY"] in KNOWN_SECRETS


def test_the_demo_s_ports_are_this_machine_s_only() -> None:
    """With passwords that everybody knows, and all mails in a page."""
    compose = (ROOT / "compose.yaml").read_text()
    environment = demo_environment()
    variable = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
    filled = variable.sub(lambda match: environment.get(match[1], match[2] or ""), compose)

    published = re.findall(r'^ +- "?([\d.:]+:\d+)"?$|ports: \["([\d.:]+)"\]', filled, re.MULTILINE)

    assert len(published) == 3, published
    assert {(one or other).rpartition(":")[0].rpartition(":")[0] for one, other in published} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("host", "env", "warns"),
    [
        ("0.0.0.0", "development", True),  # noqa: S104 - what is tried
        ("::", "development", True),
        ("192.0.2.7", "development", True),
        ("127.0.0.1", "development", False),
        ("::1", "development", False),
        ("localhost", "development", False),
        ("0.0.0.0", "production", False),  # noqa: S104
    ],
)
def test_development_on_all_interfaces_is_warned_of(
    host: str, env: Any, warns: object, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(_env_file=None, env=env, secret_key=SECRET, smtp_url=SMTP, embedded=True, host=host)

    startup.warn(settings)

    assert capsys.readouterr().err.startswith("WARNING: development mode listens on") is warns


def test_the_warning_is_the_first_line_of_output(tmp_path: Path, database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - so that it stops at once
        taken.listen()
        done = crema(
            "serve",
            data_dir=tmp_path / "data",
            CREMA_HOST="0.0.0.0",  # noqa: S104
            CREMA_PORT=str(taken.getsockname()[1]),
            CREMA_DATABASE_URL=database_url,
            CREMA_DEMO="false",
        )

    assert done.returncode == 2
    assert done.stderr.startswith("WARNING: development mode listens on 0.0.0.0")
    assert done.stdout == ""


@pytest.mark.parametrize("contact", ["example.com/report", "http://example.com", "mailto:x", "https://a b", "tel:x"])
def test_a_security_contact_is_an_address_or_a_link(contact: str) -> None:
    with pytest.raises(ValidationError, match=r"a contact is|security_contact"):
        Settings(_env_file=None, security_contact=contact)


@pytest.mark.parametrize(
    "origin", ["*", "https://*", "https://*.example.com", "https://app.example.com/", "app.example.com", "null"]
)
def test_e5_only_origins_are_taken_for_front_ends(origin: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin"):
        Settings(_env_file=None, allowed_origins=["https://app.example.com:8443", origin])


@pytest.mark.parametrize("origin", ["https://app.example.com", "http://localhost:3000", "http://[::1]:3000"])
def test_origins_are_taken_as_browsers_send_them(origin: str) -> None:
    assert Settings(_env_file=None, allowed_origins=[origin]).allowed_origins == [origin]


def test_a_refused_setting_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    done = crema("serve", data_dir=tmp_path / "data", CREMA_ENV="production")

    assert done.returncode == 2
    assert "CREMA_SECRET_KEY is required" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = crema("serve", data_dir=tmp_path / "data", CREMA_PORT="coffee")

    assert done.returncode == 2
    assert "CREMA_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_production_refuses_an_old_schema(tmp_path: Path, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001_first_tables'")

    done = crema(
        "serve",
        data_dir=tmp_path / "data",
        CREMA_ENV="production",
        CREMA_SECRET_KEY=SECRET,
        CREMA_SMTP_URL=SMTP,
        CREMA_DATABASE_URL=database_url,
        CREMA_PORT="0",
    )

    assert done.returncode == 2
    assert "crema migrate" in done.stderr


def test_production_refuses_demo_accounts(tmp_path: Path, demo_database: str) -> None:
    done = crema(
        "serve",
        data_dir=tmp_path / "data",
        CREMA_ENV="production",
        CREMA_SECRET_KEY=SECRET,
        CREMA_SMTP_URL=SMTP,
        CREMA_DATABASE_URL=demo_database,
        CREMA_PORT="0",
    )

    assert done.returncode == 2
    assert "admin@crema.example.com" in done.stderr


def counts(database_url: str) -> list[int]:
    tables = ("users", "shops", "products", "sizes", "options", "categories", "product_categories", "staff_shops")
    with psycopg.connect(database_url) as connection:
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]  # noqa: S608


def test_seeding_twice_changes_nothing(database_url: str) -> None:
    first = invoke("seed", database_url=database_url)
    once = counts(database_url)
    second = invoke("seed", database_url=database_url)

    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert counts(database_url) == once
    assert min(once) > 0


def test_an_administrator_is_made_once(database_url: str) -> None:
    def create(email: str, password: str = "oat milk please") -> int:
        arguments = ("admin", "create", "--email", email)
        return invoke(*arguments, database_url=database_url, CREMA_ADMIN_PASSWORD=password).exit_code

    assert create("owner@example.com") == create("owner@example.com") == 0
    assert create("other@example.com", password="short") == create("other@example.com", password="Password1") == 2

    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT email, roles.name, verified_at IS NOT NULL FROM users JOIN roles ON roles.id = role_id"
        ).fetchall()
    assert rows == [("owner@example.com", "admin", True)]


def test_t10_the_first_administrator_has_a_password_worth_the_name(database_url: str, tmp_path: Path) -> None:
    done = crema(
        "serve",
        data_dir=tmp_path / "data",
        CREMA_DATABASE_URL=database_url,
        CREMA_ADMIN_EMAIL="owner@example.com",
        CREMA_ADMIN_PASSWORD="iloveyou1",
        CREMA_PORT="0",
    )

    assert done.returncode == 2
    assert "tried first" in done.stderr
    assert "iloveyou1" not in done.stderr


def test_cleanup_tells_before_it_does(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, email, role_id, created_at) SELECT gen_random_uuid(), 'old@example.com', id,"
            " now() - interval '3 days' FROM roles WHERE name = 'user'"
        )

    outputs = [
        invoke("cleanup", *options, database_url=database_url).stdout.strip().splitlines()[-1]
        for options in (("--dry-run",), ())
    ]

    assert outputs == [
        "1 unverified people would be deleted.",
        "1 unverified people were deleted.",
    ]


def test_more_connections_than_postgresql_gives_are_told_at_start(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    modest = Settings(_env_file=None, database_url=database_url, demo=False, workers=1)
    greedy = modest.model_copy(update={"workers": 8, "database_pool": 40})

    for settings in (modest, greedy):
        asyncio.run(startup.prepare(settings))

    warnings = [line for line in capsys.readouterr().err.splitlines() if "database connections" in line]
    assert len(warnings) == 1
    assert str(startup.connections_of(greedy)) in warnings[0]
