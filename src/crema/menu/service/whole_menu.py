"""The whole menu as it is sent, kept in memory while nothing of it changes."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from crema.db.driver import Reader
from crema.menu import queries
from crema.menu.queries import Menu, OffersOfShop
from crema.menu.schemas import MenuOut
from crema.menu.service.offered import OfferedProducts, first_change

KEPT_BYTES: Final = 32 * 1024 * 1024
"""A larger menu, of some thousands of products under two headings each, is written anew for each who wants it whole."""
KEPT_SHOPS: Final = 32
"""Menus of single shops that are kept."""


@dataclass(frozen=True, slots=True)
class _MenuOfShop:
    """A shop's menu, made of these versions, from one moment to another; None: nothing changes by the clock."""

    made_of: tuple[str, str]
    since: datetime
    until: datetime | None
    content: bytes

    @property
    def name(self) -> str:
        """Another whenever the content may be."""
        return f"{self.made_of} {self.until}"

    def is_of(self, made_of: tuple[str, str], now: datetime) -> bool:
        """Whether it is made of these versions and still so."""
        return self.made_of == made_of and self.since <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class FoundMenu:
    """The menu of this moment, of a shop or the chain, by its name; with its content where that was looked at."""

    name: str
    shop_id: UUID | None = None
    content: bytes | None = None


class WholeMenu:
    """Reads the menu's version each time, one indexed row, and the menu only when that is another."""

    def __init__(self) -> None:
        self.offered = OfferedProducts()
        self._kept = ("", b"")
        self._of_shops: dict[UUID, _MenuOfShop] = {}
        self._turn = asyncio.Lock()

    async def version(self, reader: Reader) -> str:
        """Name the menu of this moment, without reading it."""
        return str(await queries.get_menu_version(reader))

    async def find(self, reader: Reader, *, shop: OffersOfShop | None, now: datetime) -> FoundMenu:
        """Name the menu of this moment, of a shop or the chain."""
        if shop is None:
            return FoundMenu(await self.version(reader))
        menu = await self._of_shop(reader, shop=shop, now=now)
        return FoundMenu(menu.name, shop.shop_id, menu.content)

    async def read(self, reader: Reader, found: FoundMenu) -> tuple[str, bytes]:
        """Give the JSON of headings and products, and its name: that of what was found, if it is still so."""
        return await self._of_chain(reader, found.name) if found.content is None else (found.name, found.content)

    async def _of_chain(self, reader: Reader, version: str) -> tuple[str, bytes]:
        """Those who find nothing kept take turns, so that a menu is read once however many ask."""
        if self._kept[0] == version:
            return self._kept
        async with self._turn:
            if self._kept[0] == version:
                return self._kept
            menu = await queries.load_menu(reader)
            products = {id_: [document for _, document in rows] for id_, rows in menu.products.items()}
            content = MenuOut.rest(headings=menu.headings, products=products)
            if await self.version(reader) != version:
                # The change may or may not be in what was read.
                return hashlib.sha256(content).hexdigest(), content
            self._kept = (version, content) if len(content) <= KEPT_BYTES else ("", b"")
            return version, content

    async def _of_shop(self, reader: Reader, *, shop: OffersOfShop, now: datetime) -> _MenuOfShop:
        """The same of a shop, whose menu is made of the documents of `OfferedProducts`."""
        made_of = (shop.menu_version, shop.version)
        kept = self._of_shops.get(shop.shop_id)
        if kept and kept.is_of(made_of, now):
            return kept
        async with self._turn:
            kept = self._of_shops.get(shop.shop_id)
            if kept and kept.is_of(made_of, now):
                return kept
            menu = await queries.load_menu(reader)
            made = await self._write(reader, menu, made_of, shop=shop, now=now)
            if await self.version(reader) == shop.menu_version and len(made.content) <= KEPT_BYTES // KEPT_SHOPS:
                self._of_shops.pop(shop.shop_id, None)
                self._of_shops[shop.shop_id] = made
                if len(self._of_shops) > KEPT_SHOPS:
                    del self._of_shops[next(iter(self._of_shops))]
            return made

    async def _write(
        self, reader: Reader, menu: Menu, made_of: tuple[str, str], *, shop: OffersOfShop, now: datetime
    ) -> _MenuOfShop:
        ids = {id_ for rows in menu.products.values() for id_, _ in rows}
        offered = await self.offered.read(reader, ids, menu_version=made_of[0], shop=shop, sees_hidden=False, now=now)
        products = {
            heading: [offered[id_].content for id_, _ in rows if id_ in offered]
            for heading, rows in menu.products.items()
        }
        content = MenuOut.rest(headings=menu.headings, products=products)
        return _MenuOfShop(made_of, now, first_change(offered.values()), content)
