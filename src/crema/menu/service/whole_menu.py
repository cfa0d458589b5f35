"""The whole menu as it is sent, kept in memory while nothing of it changes."""

from typing import Final
from uuid import UUID

from crema.db.statement import Reader
from crema.menu import queries
from crema.menu.schemas import MenuOut

KEPT_BYTES: Final = 8 * 1024 * 1024
"""A larger menu, of some thousand products under two headings each, is written anew for each who wants it whole."""


class WholeMenu:
    """Reads the menu's version each time, one indexed row, and the menu only when that is another."""

    def __init__(self) -> None:
        self._kept: tuple[UUID | None, bytes] | None = None

    async def version(self, reader: Reader) -> UUID | None:
        """Tell which menu this moment's is, without reading it; None before the first change."""
        return await queries.get_menu_version(reader)

    async def read(self, reader: Reader, version: UUID | None) -> tuple[UUID | None, bytes]:
        """Give the menu of this version, or the one that has come after it: the JSON of headings and products."""
        if self._kept is not None and self._kept[0] == version:
            return self._kept
        while True:
            menu = await queries.load_menu(reader)
            content = MenuOut.parts(headings=menu.headings, products=menu.products).encode()
            # A change in between may or may not be in what was read.
            read, version = version, await queries.get_menu_version(reader)
            if read == version:
                break
        if len(content) <= KEPT_BYTES:
            self._kept = version, content
        return version, content
