"""A database that would miss Cyrillic silently is refused at start."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from crema.db.embedded import EmbeddedPostgres
from crema.db.locale import UnfitDatabaseError, check_locale, check_version
from embedded.supervisor import UNSAFE_BUT_FAST


@pytest.fixture
def url(data_dir: Path) -> Iterator[str]:
    with EmbeddedPostgres(data_dir, settings=UNSAFE_BUT_FAST) as postgres:
        yield postgres.start()


def check(url: str) -> None:
    async def connect_and_check() -> None:
        engine = create_async_engine(url.replace("://", "+asyncpg://"))
        try:
            async with engine.connect() as connection:
                await check_locale(connection)
        finally:
            await engine.dispose()

    asyncio.run(connect_and_check())


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_takes_the_embedded_one(url: str) -> None:
    execute(url, "CREATE EXTENSION pg_trgm SCHEMA public")

    check(url)


def test_refuses_one_without_trigrams(url: str) -> None:
    with pytest.raises(UnfitDatabaseError, match="crema migrate"):
        check(url)


@pytest.mark.parametrize("locale", ["LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C'", "LOCALE_PROVIDER libc"])
def test_refuses_one_without_letters(url: str, locale: str) -> None:
    execute(url, f"CREATE DATABASE deaf TEMPLATE template0 LC_CTYPE 'C' {locale}")
    deaf = url.replace("/crema?", "/deaf?")
    execute(deaf, "CREATE EXTENSION pg_trgm")

    with pytest.raises(UnfitDatabaseError, match="doesn't know Cyrillic"):
        check(deaf)


def test_refuses_an_old_server() -> None:
    with pytest.raises(UnfitDatabaseError, match="PostgreSQL 14 is too old"):
        check_version(140_019)


@pytest.mark.parametrize(("number", "warnings"), [(150_000, 0), (180_006, 0), (190_001, 1)])
def test_warns_of_a_server_nobody_has_tried(number: int, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_version(number)

    assert len(caplog.records) == warnings
