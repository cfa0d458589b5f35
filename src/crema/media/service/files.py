"""The store's files: reading them, and sweeping out those that no row names."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from obstore.store import ObjectStore

from crema.core.errors import NotFoundError

SWEPT_AFTER: Final = timedelta(hours=1)
"""Younger files may belong to a request under way, which writes the file before its row."""


async def read(store: ObjectStore, name: str) -> bytes:
    """Read a file whole."""
    try:
        found = await store.get_async(name)
    except FileNotFoundError:
        raise NotFoundError from None
    return bytes(await found.bytes_async())


async def list_files(store: ObjectStore, *, prefix: str | None = None) -> dict[str, datetime]:
    """Tell the names of files and when they were written."""
    return {file["path"]: file["last_modified"] async for batch in store.list(prefix=prefix) for file in batch}


async def delete_orphans(
    store: ObjectStore, *, files: dict[str, datetime], is_named: Callable[[str], bool], now: datetime
) -> list[str]:
    """Delete those of `files` that are older than SWEPT_AFTER and that no row names; tell which.

    Ask the database what is named after `files` were listed: a row that came between has a file too young to go.
    """
    orphans = sorted(_old(files, now=now, is_named=is_named))
    if orphans:
        await store.delete_async(orphans)
    return orphans


def _old(files: dict[str, datetime], *, now: datetime, is_named: Callable[[str], bool]) -> Iterable[str]:
    return (name for name, written in files.items() if written < now - SWEPT_AFTER and not is_named(name))
