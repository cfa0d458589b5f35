"""Reading files of the store, and deleting those without a row in the database."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from obstore.store import ObjectStore

from crema.core.errors import NotFoundError

MIN_ORPHAN_AGE: Final = timedelta(hours=1)
"""Younger files may belong to a request that has written the file, but not yet its row."""


async def read(store: ObjectStore, name: str) -> bytes:
    """Return the content of a file; raise NotFoundError."""
    try:
        found = await store.get_async(name)
    except FileNotFoundError:
        raise NotFoundError from None
    return bytes(await found.bytes_async())


async def list_files(store: ObjectStore, *, prefix: str | None = None) -> dict[str, datetime]:
    """Return the names of files and when they were written."""
    return {file["path"]: file["last_modified"] async for batch in store.list(prefix=prefix) for file in batch}


async def delete_orphans(
    store: ObjectStore, *, files: dict[str, datetime], has_row: Callable[[str], bool], now: datetime
) -> list[str]:
    """Delete those of `files` that are older than MIN_ORPHAN_AGE and have no row; return their names.

    Read the rows after listing `files`: the file of a row that is inserted in between is too young to be deleted.
    """
    orphans = sorted(_find_orphans(files, now=now, has_row=has_row))
    if orphans:
        await store.delete_async(orphans)
    return orphans


def _find_orphans(files: dict[str, datetime], *, now: datetime, has_row: Callable[[str], bool]) -> Iterable[str]:
    return (name for name, written in files.items() if written < now - MIN_ORPHAN_AGE and not has_row(name))
