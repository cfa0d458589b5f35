"""Products as a shop offers them: the chain's documents with the shop's prices, and what is available there.

They are kept while nothing changes: neither the menu nor the shop by another version, nor anything by the clock.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic_core import from_json, to_json

from crema.core.errors import NotFoundError
from crema.core.instants import format_instant
from crema.core.money import quantize
from crema.core.page import Page
from crema.db.driver import Reader
from crema.db.listing import ListQuery
from crema.menu import domain, queries
from crema.menu.domain import Availability, Offer
from crema.menu.queries import OffersOfShop, StoredProduct

KEPT: Final = 1_000
"""Documents kept, about ten kilobytes each: fifty products at twenty shops."""


class _Key(NamedTuple):
    """What a document depends on, but for the clock."""

    product_id: UUID
    menu_version: str
    shop_id: UUID
    shop_version: str
    sees_hidden: bool


@dataclass(frozen=True, slots=True)
class OfferedDocument:
    """A product as JSON, as a shop offers it from one moment to another; None: nothing changes by the clock.

    `version` is the product's own.
    """

    content: bytes
    version: str
    since: datetime
    until: datetime | None

    def holds(self, now: datetime) -> bool:
        """Whether it is still so."""
        return self.since <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class ProductsAsked:
    """Which products are listed, and for whom: `category_id` is the category whose order the query asks for."""

    query: ListQuery
    category_id: UUID | None
    shop: OffersOfShop | None
    sees_hidden: bool
    now: datetime


class OfferedProducts:
    """Writes products as shops offer them, and keeps the latest."""

    def __init__(self) -> None:
        self._kept: dict[_Key, OfferedDocument] = {}

    async def page(self, reader: Reader, asked: ProductsAsked) -> tuple[Page[bytes], object]:
        """List products as JSON documents, as the shop offers them or, without one, as the chain has them.

        Beside them stands what is another whenever they may be; None if there are none.
        """
        query, category_id, sees_hidden = asked.query, asked.category_id, asked.sees_hidden
        if asked.shop is None:
            return await queries.list_products(reader, query=query, sees_hidden=sees_hidden, category_id=category_id)
        page, version = await queries.list_product_ids_of_shop(
            reader, query=query, sees_hidden=sees_hidden, category_id=category_id, shop_id=asked.shop.shop_id
        )
        found = await self.read(
            reader, page.items, menu_version=str(version), shop=asked.shop, sees_hidden=sees_hidden, now=asked.now
        )
        # What has gone meanwhile is left out.
        shown = [found[product_id].content for product_id in page.items if product_id in found]
        made_of = (version, sees_hidden, asked.shop.version, first_change(found.values()))
        return page.with_items(shown), made_of if page.items else None

    async def one(
        self, reader: Reader, *, product_id: UUID, sees_hidden: bool, shop: OffersOfShop | None, now: datetime
    ) -> tuple[bytes, str]:
        """Return a product as a JSON document, and its version, as the shop or the chain has it."""
        if shop is None:
            return await queries.get_document(reader, product_id=product_id, sees_hidden=sees_hidden)
        found = await self.read(
            reader, [product_id], menu_version=shop.menu_version, shop=shop, sees_hidden=sees_hidden, now=now
        )
        if product_id not in found:
            raise NotFoundError
        return found[product_id].content, found[product_id].version

    async def read(
        self,
        reader: Reader,
        product_ids: Collection[UUID],
        *,
        menu_version: str,
        shop: OffersOfShop,
        sees_hidden: bool,
        now: datetime,
    ) -> dict[UUID, OfferedDocument]:
        """Return products as a shop offers them now; one statement if some of them aren't kept."""
        keys = {id_: _Key(id_, menu_version, shop.shop_id, shop.version, sees_hidden) for id_ in product_ids}
        found = {id_: kept for id_, key in keys.items() if (kept := self._find(key)) and kept.holds(now)}
        missing = keys.keys() - found.keys()
        for stored in await queries.load_documents(reader, missing, sees_hidden=sees_hidden) if missing else ():
            offer = domain.offer_of(queries.read_pricing(stored.pricing), shop.differences)
            found[stored.id] = offered(stored, offer, now)
            self._keep(keys[stored.id], found[stored.id])
        return found

    def _find(self, key: _Key) -> OfferedDocument | None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept[key] = kept  # the latest asked for stand last
        return kept

    def _keep(self, key: _Key, document: OfferedDocument) -> None:
        self._kept[key] = document
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]


def first_change(documents: Collection[OfferedDocument]) -> datetime | None:
    """Return when the first of these may be another; None: never by itself."""
    return min((each.until for each in documents if each.until is not None), default=None)


def offered(product: StoredProduct, offer: Offer, now: datetime) -> OfferedDocument:
    """Write the shop's prices and what is available now into a product's document."""
    shown = from_json(product.document)
    options = {str(option.id): option for group in offer.product.modifier_groups for option in group.options}
    shown["price"] = str(quantize(offer.product.price))
    shown["availability"] = _as_json(domain.availability(offer, at=now))
    for group in shown["modifier_groups"]:
        for option in group["options"]:
            own = options[option["id"]]
            option["price_delta"] = str(quantize(own.price_delta))
            option["size_prices"] = option["size_prices"] if own.size_prices else []
            option["availability"] = _as_json(domain.option_availability(offer, own.id, at=now))
    return OfferedDocument(to_json(shown), product.version, now, domain.next_change(offer, after=now))


def _as_json(availability: Availability) -> dict[str, Any]:
    reasons = [
        {"code": each.code.value, "detail": each.detail, "until": format_instant(each.until) if each.until else None}
        for each in availability.reasons
    ]
    return {"is_available": availability.is_available, "reasons": reasons}
