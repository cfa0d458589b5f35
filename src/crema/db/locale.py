"""Check at every start that Crema can run on this database."""

import logging
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_OLDEST: Final = 15
_NEWEST_TRIED: Final = 18

_logger = logging.getLogger(__name__)


class UnfitDatabaseError(RuntimeError):
    """Crema must not run on this database. The message says what to do about it."""


async def check_locale(connection: AsyncConnection) -> None:
    """Refuse a server older than PostgreSQL 15, and a database whose search would silently miss Cyrillic.

    Call it after the migrations, which create pg_trgm. It only reads.
    """
    check_version(await connection.scalar(text("SELECT current_setting('server_version_num')::int")))
    if not await connection.scalar(text("SELECT to_regprocedure('show_trgm(text)') IS NOT NULL")):
        raise UnfitDatabaseError(
            "The extension pg_trgm can't be found. Run `crema migrate`, which creates it; where only an "
            "administrator may, have one run CREATE EXTENSION pg_trgm SCHEMA public. If it is there already, "
            "the role's search_path must contain public."
        )
    if not await connection.scalar(text("SELECT lower('Ё') = 'ё' AND array_length(show_trgm('кофе'), 1) > 0")):
        raise UnfitDatabaseError(
            "This database's locale doesn't know Cyrillic letters: searches would silently find nothing. "
            "Make it anew and restore a dump into it: CREATE DATABASE crema TEMPLATE template0 ENCODING "
            "'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'; on PostgreSQL 17 and newer add LOCALE_PROVIDER "
            "builtin BUILTIN_LOCALE 'C.UTF-8'."
        )


def check_version(number: int) -> None:
    """Refuse a `server_version_num` that is too old; warn of one that Crema wasn't tested with."""
    major = number // 10_000
    if major < _OLDEST:
        raise UnfitDatabaseError(f"PostgreSQL {major} is too old. Crema needs {_OLDEST} to {_NEWEST_TRIED}.")
    if major > _NEWEST_TRIED:
        _logger.warning("PostgreSQL %d is newer than %d, the newest that Crema was tested with", major, _NEWEST_TRIED)
