"""The whole menu as it is sent, kept in memory while nothing of it changes."""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from crema.db.statement import Reader
from crema.menu import queries
from crema.menu.schemas import MenuOut

KEPT_BYTES: Final = 8 * 1024 * 1024
"""A larger menu, of some 5,000 products, is written anew for each who asks."""


@dataclass(frozen=True, slots=True)
class WrittenMenu:
    """What is the same for every shop: the JSON of headings and products, and its digest."""

    content: bytes
    digest: bytes


class WholeMenu:
    """Reads the menu's version each time, one indexed row, and the menu only when that is another."""

    def __init__(self) -> None:
        self._kept: tuple[UUID | None, WrittenMenu] | None = None

    async def read(self, reader: Reader) -> WrittenMenu:
        """Give the menu as it is at this moment."""
        version = await queries.get_menu_version(reader)
        if self._kept is not None and self._kept[0] == version:
            return self._kept[1]
        menu = await queries.load_menu(reader)
        content = MenuOut.parts(headings=menu.headings, products=menu.products).encode()
        written = WrittenMenu(content, hashlib.sha256(content).digest())
        # A change in between may or may not be in what was read.
        if len(content) <= KEPT_BYTES and await queries.get_menu_version(reader) == version:
            self._kept = version, written
        return written
