"""The command line: what it refuses, and what its commands do."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from crema import cli
from crema.settings import Settings

SECRET = "x" * 32


def crema(*arguments: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as people do, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CREMA_")}
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "crema", *arguments],
        env=kept | {"CREMA_DATA_DIR": str(data_dir)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
        ({"secret_key": SECRET}, "CREMA_DATABASE_URL"),
        ({"secret_key": SECRET, "embedded": True, "demo": True}, "CREMA_DEMO"),
    ],
)
def test_production_refuses_what_nobody_chose(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(_env_file=None, env="production", **fields)


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
        CREMA_DATABASE_URL=database_url,
        CREMA_PORT="0",
    )

    assert done.returncode == 2
    assert "crema migrate" in done.stderr


def test_production_refuses_demo_accounts(tmp_path: Path, database_url: str) -> None:
    assert invoke("seed", database_url=database_url).exit_code == 0

    done = crema(
        "serve",
        data_dir=tmp_path / "data",
        CREMA_ENV="production",
        CREMA_SECRET_KEY=SECRET,
        CREMA_DATABASE_URL=database_url,
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
