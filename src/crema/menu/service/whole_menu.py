"""The whole menu as JSON, cached in memory until something in it changes."""

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
from crema.menu.service.offered_products import OfferedProducts, first_change

MAX_CACHED_BYTES: Final = 32 * 1024 * 1024
"""A larger menu, of some thousands of products in two categories each, is not cached but written at each request."""
MAX_CACHED_SHOPS: Final = 32
"""How many menus of single shops are cached."""


@dataclass(frozen=True, slots=True)
class _ShopMenu:
    """A shop's menu, made of these versions of the menu and the shop, which is right from `since` to `until`.

    None as `until`: time changes nothing.
    """

    versions: tuple[str, str]
    since: datetime
    until: datetime | None
    content: bytes

    @property
    def version(self) -> str:
        """Changes whenever the content may change."""
        return f"{self.versions} {self.until}"

    def is_of(self, versions: tuple[str, str], now: datetime) -> bool:
        """Return whether it is made of these versions, and right at this moment."""
        return self.versions == versions and self.since <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class FoundMenu:
    """The version of the present menu of a shop or the chain; with its content if it had to be read for that."""

    version: str
    shop_id: UUID | None = None
    content: bytes | None = None


class WholeMenu:
    """Caches the menu. It reads the menu's version, one row, at each request, and the menu only if that has changed."""

    def __init__(self) -> None:
        self.offered = OfferedProducts()
        self._cached_menu = ("", b"")
        self._cached_shop_menus: dict[UUID, _ShopMenu] = {}
        self._lock = asyncio.Lock()

    async def version(self, reader: Reader) -> str:
        """Return the present version of the chain's menu."""
        return str(await queries.get_menu_version(reader))

    async def find(self, reader: Reader, *, shop: OffersOfShop | None, now: datetime) -> FoundMenu:
        """Return the version of the present menu of a shop or, without one, of the chain."""
        if shop is None:
            return FoundMenu(await self.version(reader))
        menu = await self._of_shop(reader, shop=shop, now=now)
        return FoundMenu(menu.version, shop.shop_id, menu.content)

    async def read(self, reader: Reader, found: FoundMenu) -> tuple[str, bytes]:
        """Return the JSON of categories and products, and its version, which differs from `found` after a change."""
        return await self._of_chain(reader, found.version) if found.content is None else (found.version, found.content)

    async def _of_chain(self, reader: Reader, version: str) -> tuple[str, bytes]:
        """Return the chain's menu. A lock lets one request read it, and the others wait for the result."""
        if self._cached_menu[0] == version:
            return self._cached_menu
        async with self._lock:
            if self._cached_menu[0] == version:
                return self._cached_menu
            menu = await queries.load_menu(reader)
            products = {id_: [document for _, document in rows] for id_, rows in menu.products.items()}
            content = MenuOut.rest(categories=menu.categories, products=products)
            if await self.version(reader) != version:
                # The menu was changed meanwhile; what was read may be of either version.
                return hashlib.sha256(content).hexdigest(), content
            self._cached_menu = (version, content) if len(content) <= MAX_CACHED_BYTES else ("", b"")
            return version, content

    async def _of_shop(self, reader: Reader, *, shop: OffersOfShop, now: datetime) -> _ShopMenu:
        """Return a shop's menu, made of the documents of `OfferedProducts`."""
        versions = (shop.menu_version, shop.version)
        kept = self._cached_shop_menus.get(shop.shop_id)
        if kept and kept.is_of(versions, now):
            return kept
        async with self._lock:
            kept = self._cached_shop_menus.get(shop.shop_id)
            if kept and kept.is_of(versions, now):
                return kept
            menu = await queries.load_menu(reader)
            made = await self._write(reader, menu, versions, shop=shop, now=now)
            if (
                await self.version(reader) == shop.menu_version
                and len(made.content) <= MAX_CACHED_BYTES // MAX_CACHED_SHOPS
            ):
                self._cached_shop_menus.pop(shop.shop_id, None)
                self._cached_shop_menus[shop.shop_id] = made
                if len(self._cached_shop_menus) > MAX_CACHED_SHOPS:
                    del self._cached_shop_menus[next(iter(self._cached_shop_menus))]
            return made

    async def _write(
        self, reader: Reader, menu: Menu, versions: tuple[str, str], *, shop: OffersOfShop, now: datetime
    ) -> _ShopMenu:
        ids = {id_ for rows in menu.products.values() for id_, _ in rows}
        offered = await self.offered.read(reader, ids, menu_version=versions[0], shop=shop, sees_hidden=False, now=now)
        products = {
            category_id: [offered[id_].content for id_, _ in rows if id_ in offered]
            for category_id, rows in menu.products.items()
        }
        content = MenuOut.rest(categories=menu.categories, products=products)
        return _ShopMenu(versions, now, first_change(offered.values()), content)
