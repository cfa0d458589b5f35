"""F4: what a smuggled statement could do, if one ever came through: nothing beyond rows."""

from collections.abc import Iterator
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from crema import tables
from crema.db import roles, schema
from fixtures.database import create_database, drop_database

ONLY_ADDED_TO = {"audit_events"}


@pytest.fixture(scope="module")
def owner_url(server_url: str) -> Iterator[str]:
    """Give a database migrated after its server got to know the application's role."""
    name = f"crema_roles_{uuid4().hex[:8]}"
    url = create_database(server_url, name)
    roles.make_app_role(url)
    schema.upgrade(url)
    yield url
    drop_database(server_url, name)


@pytest.fixture(scope="module")
def app_url(owner_url: str) -> str:
    if make_url(owner_url).password:
        pytest.skip("the server of CREMA_TEST_DATABASE_URL asks for passwords, and the role has none")
    return roles.as_app(owner_url)


def test_the_application_reads_and_writes_every_table(app_url: str) -> None:
    with psycopg.connect(app_url) as connection:
        for name in tables.metadata.tables:
            table = sql.Identifier(name)
            connection.execute(sql.SQL("SELECT FROM {}").format(table))
            if name not in ONLY_ADDED_TO:
                connection.execute(sql.SQL("SELECT FROM {} FOR UPDATE").format(table))
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
        allowed = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND has_table_privilege(oid, 'INSERT')"
        ).fetchone()
        connection.rollback()

    assert allowed is not None
    assert allowed[0] >= len(tables.metadata.tables)


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET action = ''", "DELETE FROM audit_events"])
def test_s11_the_application_only_adds_to_the_audit_log(app_url: str, statement: LiteralString) -> None:
    with (
        psycopg.connect(app_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


ALTERS = (
    "CREATE TABLE loot (id int)",
    "ALTER TABLE users ADD COLUMN loot text",
    "ALTER TABLE orders DISABLE TRIGGER ALL",
    "DROP TABLE users CASCADE",
    "TRUNCATE users CASCADE",
    "CREATE FUNCTION loot() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE thief SUPERUSER",
    "UPDATE alembic_version SET version_num = 'none'",
    "SELECT pg_read_file('/etc/hosts')",
    "SELECT rolpassword FROM pg_authid",
)
REACHES_OUT = (
    "COPY users TO PROGRAM 'cat'",
    "COPY users TO '/tmp/users'",
    "SELECT lo_import('/etc/hosts')",
    "SET ROLE pg_write_server_files",
    "ALTER SYSTEM SET fsync = off",
)


@pytest.mark.parametrize("statement", [*ALTERS, *REACHES_OUT])
def test_f4_the_application_alters_nothing(app_url: str, statement: LiteralString) -> None:
    with (
        psycopg.connect(app_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize("statement", ALTERS)
def test_f4_twin_the_owner_could(owner_url: str, statement: LiteralString) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(statement)
        connection.rollback()
