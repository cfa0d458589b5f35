"""The whole menu as it is sent, kept in memory while nothing of it changes."""

import asyncio
from typing import Final
from uuid import UUID

from crema.db.driver import Reader
from crema.menu import queries
from crema.menu.schemas import MenuOut

KEPT_BYTES: Final = 32 * 1024 * 1024
"""A larger menu, of some thousands of products under two headings each, is written anew for each who wants it whole."""


class WholeMenu:
    """Reads the menu's version each time, one indexed row, and the menu only when that is another."""

    def __init__(self) -> None:
        self._kept: tuple[UUID | None, bytes] | None = None
        self._turn = asyncio.Lock()

    async def version(self, reader: Reader) -> UUID | None:
        """Tell which menu this moment's is, without reading it; None before the first change."""
        return await queries.get_menu_version(reader)

    async def read(self, reader: Reader, version: UUID | None) -> tuple[UUID | None, bytes]:
        """Give the JSON of headings and products as of `version`; None in its place if the menu has changed since.

        Those who find nothing kept take turns, so that a menu is read once however many ask.
        """
        if kept := self._kept_of(version):
            return kept
        async with self._turn:
            if kept := self._kept_of(version):
                return kept
            menu = await queries.load_menu(reader)
            content = MenuOut.parts(headings=menu.headings, products=menu.products).encode()
            if await queries.get_menu_version(reader) != version:
                return None, content
            self._kept = (version, content) if len(content) <= KEPT_BYTES else None
            return version, content

    def _kept_of(self, version: UUID | None) -> tuple[UUID | None, bytes] | None:
        return self._kept if self._kept is not None and self._kept[0] == version else None
