"""Products as a shop offers them: the chain's documents with the shop's prices, and what is available there.

They are cached until the version of the menu or of the shop changes, or until time changes what is available.
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

CACHED_DOCUMENTS: Final = 1_000
"""How many documents are cached, about ten kilobytes each: enough for fifty products at twenty shops."""


class _Key(NamedTuple):
    """What a document depends on, except time."""

    product_id: UUID
    menu_version: str
    shop_id: UUID
    shop_version: str
    sees_hidden: bool


@dataclass(frozen=True, slots=True)
class OfferedDocument:
    """A product as JSON, as a shop offers it from `since` to `until`; None as `until`: time changes nothing.

    `version` is that of the product.
    """

    content: bytes
    version: str
    since: datetime
    until: datetime | None

    def holds(self, now: datetime) -> bool:
        """Return whether the document is right at this moment."""
        return self.since <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True)
class ProductsRequest:
    """Which products are listed, and for whom. `category_id` is the category by whose order the query sorts."""

    query: ListQuery
    category_id: UUID | None
    shop: OffersOfShop | None
    sees_hidden: bool
    now: datetime


class OfferedProducts:
    """Writes documents of products as shops offer them, and caches those that were used last."""

    def __init__(self) -> None:
        self._cache: dict[_Key, OfferedDocument] = {}

    async def page(self, reader: Reader, requested: ProductsRequest) -> tuple[Page[bytes], object]:
        """Return a page of products as JSON documents, as the shop offers them or, without a shop, as the chain does.

        The second value is the page's version, which changes whenever the documents may change; None for an empty page.
        """
        query, category_id, sees_hidden = requested.query, requested.category_id, requested.sees_hidden
        if requested.shop is None:
            return await queries.list_products(reader, query=query, sees_hidden=sees_hidden, category_id=category_id)
        page, version = await queries.list_product_ids_of_shop(
            reader, query=query, sees_hidden=sees_hidden, category_id=category_id, shop_id=requested.shop.shop_id
        )
        found = await self.read(
            reader,
            page.items,
            menu_version=str(version),
            shop=requested.shop,
            sees_hidden=sees_hidden,
            now=requested.now,
        )
        # Products that were deleted after the first statement are left out.
        shown = [found[product_id].content for product_id in page.items if product_id in found]
        versions = (version, sees_hidden, requested.shop.version, first_change(found.values()))
        return page.with_items(shown), versions if page.items else None

    async def one(
        self, reader: Reader, *, product_id: UUID, sees_hidden: bool, shop: OffersOfShop | None, now: datetime
    ) -> tuple[bytes, str]:
        """Return a product as a JSON document, as the shop or the chain offers it, and its version."""
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
        """Return products as a shop offers them now. It takes one statement if some of them aren't cached."""
        keys = {id_: _Key(id_, menu_version, shop.shop_id, shop.version, sees_hidden) for id_ in product_ids}
        found = {id_: kept for id_, key in keys.items() if (kept := self._cached(key)) and kept.holds(now)}
        missing = keys.keys() - found.keys()
        for stored in await queries.load_documents(reader, missing, sees_hidden=sees_hidden) if missing else ():
            offer = domain.offer_of(queries.read_pricing(stored.pricing), shop.differences)
            found[stored.id] = offered_document(stored, offer, now)
            self._store(keys[stored.id], found[stored.id])
        return found

    def _cached(self, key: _Key) -> OfferedDocument | None:
        kept = self._cache.pop(key, None)
        if kept is not None:
            self._cache[key] = kept  # in order of their last use
        return kept

    def _store(self, key: _Key, document: OfferedDocument) -> None:
        self._cache[key] = document
        if len(self._cache) > CACHED_DOCUMENTS:
            del self._cache[next(iter(self._cache))]


def first_change(documents: Collection[OfferedDocument]) -> datetime | None:
    """Return when time changes the first of these documents; None: never."""
    return min((each.until for each in documents if each.until is not None), default=None)


def offered_document(product: StoredProduct, offer: Offer, now: datetime) -> OfferedDocument:
    """Return a product's document with the shop's prices and what is available now."""
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
