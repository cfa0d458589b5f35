"""The whole menu as it is sent, kept in memory while nothing of it changes."""

import asyncio
import hashlib
from typing import Final

from crema.db.driver import Reader
from crema.menu import queries
from crema.menu.schemas import MenuOut

KEPT_BYTES: Final = 32 * 1024 * 1024
"""A larger menu, of some thousands of products under two headings each, is written anew for each who wants it whole."""


class WholeMenu:
    """Reads the menu's version each time, one indexed row, and the menu only when that is another."""

    def __init__(self) -> None:
        self._kept = ("", b"")
        self._turn = asyncio.Lock()

    async def version(self, reader: Reader) -> str:
        """Name the menu of this moment, without reading it."""
        return str(await queries.get_menu_version(reader))

    async def read(self, reader: Reader, version: str) -> tuple[str, bytes]:
        """Give the JSON of headings and products and its name: `version`, if the menu is still that.

        Those who find nothing kept take turns, so that a menu is read once however many ask.
        """
        if self._kept[0] == version:
            return self._kept
        async with self._turn:
            if self._kept[0] == version:
                return self._kept
            menu = await queries.load_menu(reader)
            content = MenuOut.rest(headings=menu.headings, products=menu.products)
            if await self.version(reader) != version:
                # The change may or may not be in what was read.
                return hashlib.sha256(content).hexdigest(), content
            self._kept = (version, content) if len(content) <= KEPT_BYTES else ("", b"")
            return version, content
