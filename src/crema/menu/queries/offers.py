"""Statements about what shops have different from the chain, and about their stop-lists."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from sqlalchemy import (
    Integer,
    Numeric,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    ChoiceField,
    InstantField,
    IntegerField,
    Listing,
    ListQuery,
    ListStatement,
    MoneyField,
    TextField,
    UuidField,
)
from crema.db.statement import Executor, Statement, into
from crema.menu.domain import CHAIN, Offer, OptionDifference, ProductDifference, ShopDifferences, StopKind, offer_of
from crema.menu.models import Ingredient, MenuVersion, Option, Product, ShopOffers, ShopOption, ShopProduct, Stop
from crema.menu.queries.pricing import ANY_PRODUCT_ID, PRICING_ROWS, add_hiding_categories, pricing_products
from crema.schemas import Name
from crema.shops.models import Shop
from crema.shops.queries import TAKES_ORDERS

STOP_KINDS: Final = ("ingredient", "product", "option")


@dataclass(frozen=True, slots=True)
class OffersOfShop:
    """What a shop has different from the chain, with its version, and the version of the menu.

    `version` changes whenever the differences change.
    """

    shop_id: UUID
    version: str
    menu_version: str
    differences: ShopDifferences


_DOCUMENT: Final = cast(ShopOffers.document, Text)
_OFFERS: Final = Statement(
    select(Shop.id, Shop.timezone, ShopOffers.version, _DOCUMENT, select(MenuVersion.version).scalar_subquery())
    .outerjoin(ShopOffers, ShopOffers.shop_id == Shop.id)
    .where(Shop.id == bindparam("shop_id"), TAKES_ORDERS)
)


async def get_offers_of_shop(db: Executor, shop_id: UUID) -> OffersOfShop:
    """Return what a shop has different from the chain. A shop that takes no orders is not found."""
    row = await _OFFERS.one(db, shop_id=shop_id)
    id_, timezone, version, document, menu_version = row
    return OffersOfShop(id_, f"{version}/{timezone}", str(menu_version), _parse_differences(timezone, document))


@dataclass(frozen=True, slots=True)
class _Document:
    products: Mapping[UUID, ProductDifference]
    options: Mapping[UUID, OptionDifference]
    stops: Mapping[UUID, tuple[StopKind, datetime | None]]
    stocks: Mapping[UUID, int]


_DOCUMENT_JSON: Final = TypeAdapter(_Document)


@lru_cache(1_000)
def _parse_differences(timezone: str, document: str | None) -> ShopDifferences:
    """Return the differences that a shop's document says. They are cached by its text."""
    zone = ZoneInfo(timezone)
    if document is None:
        return ShopDifferences(zone)
    read = _DOCUMENT_JSON.validate_json(document)
    stops = {(kind, target_id): until for target_id, (kind, until) in read.stops.items()}
    return ShopDifferences(zone, read.products, read.options, stops, read.stocks)


_STOCKS: Final = (
    select(cast(func.jsonb_object_agg(ShopProduct.product_id, ShopProduct.stock), Text))
    .where(ShopProduct.shop_id == Shop.id, ShopProduct.product_id == ANY_PRODUCT_ID, ShopProduct.stock.is_not(None))
    .correlate(Shop)
    .scalar_subquery()
)
_OWN_DOCUMENT: Final = select(_DOCUMENT).where(ShopOffers.shop_id == Shop.id).correlate(Shop).scalar_subquery()
DIFFERENCES: Final = func.row(Shop.timezone, _OWN_DOCUMENT, _STOCKS)
"""A column of a SELECT from shops: what a shop has different, with the present stocks of `product_ids`.

`differences_of` reads its value.
"""


def differences_of(row: Sequence[Any] | None) -> ShopDifferences:
    """Return the differences that a value of `DIFFERENCES` says. None, without a shop, is the chain without any."""
    if row is None:
        return CHAIN
    timezone, document, stocks = row
    differences = _parse_differences(timezone, document)
    return replace(differences, stocks=_STOCKS_JSON.validate_json(stocks)) if stocks else differences


_STOCKS_JSON: Final = TypeAdapter(dict[UUID, int])
_DIFFERENCES_OF_SHOP: Final = select(DIFFERENCES).where(Shop.id == bindparam("shop_id", type_=Uuid)).scalar_subquery()
_GET_DIFFERENCES: Final = Statement(select(_DIFFERENCES_OF_SHOP.label("differences")))
_WITH_PRODUCTS: Final = Statement(select(PRICING_ROWS.label("products"), _DIFFERENCES_OF_SHOP.label("differences")))


async def get_differences(db: Executor, *, shop_id: UUID, product_ids: Collection[UUID]) -> ShopDifferences:
    """Return what a shop has different from the chain, with the present stocks of these products."""
    row = await _GET_DIFFERENCES.one(db, shop_id=shop_id, product_ids=list(product_ids))
    return differences_of(row["differences"])


async def load_offers(db: Executor, product_ids: Collection[UUID], *, shop_id: UUID | None) -> dict[UUID, Offer]:
    """Return what a shop offers of these products, by id; without a shop, what the chain offers.

    Archived products are included. Unknown ids are left out.
    """
    if not product_ids:
        return {}
    row = await _WITH_PRODUCTS.one(db, shop_id=shop_id, product_ids=list(product_ids))
    return await offers_of(db, row)


async def offers_of(db: Executor, row: Mapping[str, Any]) -> dict[UUID, Offer]:
    """Return what is offered, by product id, from a row with `PRICING_ROWS` and `DIFFERENCES`.

    The columns are labelled `products` and `differences`.
    """
    differences = differences_of(row["differences"])
    products = await add_hiding_categories(db, pricing_products(row["products"]))
    return {product_id: offer_of(product, differences) for product_id, product in products.items()}


_PRODUCT: Final = func.jsonb_build_object("price", cast(ShopProduct.price, Text), "is_sold", ShopProduct.is_sold)
_OPTION: Final = func.jsonb_build_object(
    "price_delta", cast(ShopOption.price_delta, Text), "is_sold", ShopOption.is_sold
)
_TARGET: Final = func.coalesce(Stop.ingredient_id, Stop.product_id, Stop.option_id)
_KIND: Final = case(
    (Stop.ingredient_id.is_not(None), "ingredient"), (Stop.product_id.is_not(None), "product"), else_="option"
)


def _json_object(key: Any, value: Any) -> Any:
    return func.coalesce(func.jsonb_object_agg(key, value), func.jsonb_build_object())


_SHOP_ID: Final = bindparam("shop_id", type_=Shop.id.type)
_IS_USED_UP: Final = ShopProduct.stock == 0
OFFERS_DOCUMENT: Final = func.jsonb_build_object(
    "products",
    select(_json_object(ShopProduct.product_id, _PRODUCT)).where(ShopProduct.shop_id == _SHOP_ID).scalar_subquery(),
    "options",
    select(_json_object(ShopOption.option_id, _OPTION)).where(ShopOption.shop_id == _SHOP_ID).scalar_subquery(),
    "stops",
    select(_json_object(_TARGET, func.jsonb_build_array(_KIND, Stop.until)))
    .where(Stop.shop_id == _SHOP_ID)
    .scalar_subquery(),
    "stocks",
    select(_json_object(ShopProduct.product_id, ShopProduct.stock))
    .where(ShopProduct.shop_id == _SHOP_ID, _IS_USED_UP)
    .scalar_subquery(),
)
"""The JSON of a `ShopOffers` row: what the shop `shop_id` has different from the chain, read from the tables."""


_NAME: Final = func.coalesce(Ingredient.name, Product.name, Option.name)
STOPS: Final = Listing(
    name="Stop",
    fields={
        "id": UuidField(Stop.id),
        "kind": ChoiceField(_KIND, choices=STOP_KINDS),
        "target_id": UuidField(_TARGET),
        "name": TextField(_NAME, of=Name, example="Овсяное молоко"),
        "until": InstantField(Stop.until, nullable=True),
        "note": TextField(Stop.note, example="Привезут к обеду"),
        "created_by_id": UuidField(Stop.created_by_id, nullable=True),
        "created_at": InstantField(Stop.created_at),
    },
    default_sort="-created_at",
    id_column=Stop.id,
)


@dataclass(frozen=True, slots=True)
class StopView:
    """An entry of a stop-list as it is shown."""

    id: UUID
    kind: StopKind
    target_id: UUID
    name: str
    until: datetime | None
    note: str
    created_by_id: UUID | None
    created_at: datetime


_SHOWN_STOPS: Final = (
    select(
        Stop.id,
        _KIND.label("kind"),
        _TARGET.label("target_id"),
        _NAME.label("name"),
        Stop.until,
        Stop.note,
        Stop.created_by_id,
        Stop.created_at,
    )
    .outerjoin(Ingredient, Ingredient.id == Stop.ingredient_id)
    .outerjoin(Product, Product.id == Stop.product_id)
    .outerjoin(Option, Option.id == Stop.option_id)
    .where(Stop.shop_id == _SHOP_ID)
)
_STOPS: Final = ListStatement(
    _SHOWN_STOPS.where(or_(Stop.until.is_(None), Stop.until > bindparam("now", type_=Stop.until.type)))
)
_STOP: Final = Statement(_SHOWN_STOPS.where(Stop.id == bindparam("stop_id")))


async def list_stops(reader: Reader, *, shop_id: UUID, query: ListQuery, now: datetime) -> Page[StopView]:
    """Return a page of what a shop has run out of now."""
    page = await _STOPS.page(reader, query, shop_id=shop_id, now=now)
    if not page.items:
        await check_shop(reader, shop_id)
    return page.map(into(StopView))


async def get_stop(db: Executor, *, shop_id: UUID, stop_id: UUID) -> StopView:
    """Return an entry of a shop's stop-list."""
    return into(StopView)(await _STOP.one(db, shop_id=shop_id, stop_id=stop_id))


@dataclass(frozen=True, slots=True)
class OverrideView:
    """What a shop sets for itself about a product or an option. If a price or delta is None, the chain's counts."""

    kind: str
    id: UUID
    name: str
    price: Decimal | None
    price_delta: Decimal | None
    is_sold: bool
    stock: int | None
    updated_at: datetime | None


_OVERRIDES: Final = union_all(
    select(
        ShopProduct.shop_id,
        literal("product", Text).label("kind"),
        ShopProduct.product_id.label("id"),
        Product.name,
        ShopProduct.price,
        cast(null(), Numeric).label("price_delta"),
        ShopProduct.is_sold,
        ShopProduct.stock,
        ShopProduct.updated_at,
    ).join(Product, and_(Product.id == ShopProduct.product_id, Product.archived_at.is_(None))),
    select(
        ShopOption.shop_id,
        literal("option", Text).label("kind"),
        ShopOption.option_id.label("id"),
        Option.name,
        cast(null(), Numeric).label("price"),
        ShopOption.price_delta,
        ShopOption.is_sold,
        cast(null(), Integer).label("stock"),
        ShopOption.updated_at,
    ).join(Option, Option.id == ShopOption.option_id),
).subquery("overrides")
_OVERRIDE: Final = _OVERRIDES.c
OVERRIDES: Final = Listing(
    name="Override",
    fields={
        "kind": ChoiceField(_OVERRIDE.kind, choices=("product", "option")),
        "id": UuidField(_OVERRIDE.id),
        "name": TextField(_OVERRIDE.name, of=Name, example="Латте"),
        "price": MoneyField(_OVERRIDE.price, nullable=True),
        "price_delta": MoneyField(_OVERRIDE.price_delta, nullable=True, signed=True, example="60.00"),
        "is_sold": BooleanField(_OVERRIDE.is_sold),
        "stock": IntegerField(_OVERRIDE.stock, nullable=True, example=12),
        "updated_at": InstantField(_OVERRIDE.updated_at),
    },
    default_sort="name",
    id_column=_OVERRIDE.id,
)
_OVERRIDES_OF_SHOP: Final = select(
    _OVERRIDE.kind,
    _OVERRIDE.id,
    _OVERRIDE.name,
    _OVERRIDE.price,
    _OVERRIDE.price_delta,
    _OVERRIDE.is_sold,
    _OVERRIDE.stock,
    _OVERRIDE.updated_at,
).where(_OVERRIDE.shop_id == _SHOP_ID)
_LIST_OVERRIDES: Final = ListStatement(_OVERRIDES_OF_SHOP)


async def list_overrides_of_shop(reader: Reader, *, shop_id: UUID, query: ListQuery) -> Page[OverrideView]:
    """Return a page of what a shop sets for itself."""
    page = await _LIST_OVERRIDES.page(reader, query, shop_id=shop_id)
    if not page.items:
        await check_shop(reader, shop_id)
    return page.map(into(OverrideView))


_SHOP: Final = Statement(select(Shop.id).where(Shop.id == bindparam("shop_id")))


async def check_shop(db: Executor, shop_id: UUID) -> None:
    """Raise NotFoundError if there is no such shop, active or not."""
    await _SHOP.one(db, shop_id=shop_id)


async def get_shop_product_for_update(session: AsyncSession, *, shop_id: UUID, product_id: UUID) -> ShopProduct:
    """Lock and return what a shop sets for itself about a product."""
    return await _get_for_update(session, ShopProduct, {"shop_id": shop_id, "product_id": product_id})


async def get_shop_option_for_update(session: AsyncSession, *, shop_id: UUID, option_id: UUID) -> ShopOption:
    """Lock and return what a shop sets for itself about an option."""
    return await _get_for_update(session, ShopOption, {"shop_id": shop_id, "option_id": option_id})


_RowT = TypeVar("_RowT", ShopProduct, ShopOption)


async def _get_for_update(session: AsyncSession, model: type[_RowT], key: Mapping[str, UUID]) -> _RowT:
    row = await session.scalar(
        select(model).filter_by(**key).with_for_update(), execution_options={"populate_existing": True}
    )
    if row is None:
        raise NotFoundError
    return row
