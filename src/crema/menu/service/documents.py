"""Stored JSON documents of products, written in the transaction of every change of what they show.

So a reader of the menu needs one statement, and nothing is rendered. The documents are derived from the tables:
`rebuild` writes all of them again.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Select, bindparam, delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from crema.db.statement import Statement
from crema.menu import domain, queries
from crema.menu.models import (
    MenuVersion,
    Option,
    OptionIngredient,
    Product,
    ProductCategory,
    ProductDocument,
    ProductIngredient,
    ProductModifierGroup,
)
from crema.menu.schemas import ProductOut

BATCH: Final = 500
_SEARCHED: Final = sorted(queries.PRODUCTS.search)
SCHEMA_DIGEST: Final = hashlib.sha256(
    json.dumps([ProductOut.model_json_schema(mode="serialization"), _SEARCHED, queries.PRICING_SCHEMA]).encode()
).hexdigest()[:16]
"""A digest of the schemas of all parts of a document. `crema migrate` rebuilds documents that have another one."""


def products_in_categories(category_ids: Collection[UUID]) -> Select[UUID]:
    """Return a SELECT of the ids of the products in these categories."""
    return select(ProductCategory.product_id).where(ProductCategory.category_id.in_(category_ids)).distinct()


def products_with_group(group_id: UUID) -> Select[UUID]:
    """Return a SELECT of the ids of the products that offer a modifier group."""
    return select(ProductModifierGroup.product_id).where(ProductModifierGroup.group_id == group_id)


def products_with_ingredient(ingredient_id: UUID) -> Select[UUID]:
    """Return a SELECT of the ids of the products that contain an ingredient, themselves or in an option."""
    contained = select(ProductIngredient.product_id).where(ProductIngredient.ingredient_id == ingredient_id)
    added = (
        select(ProductModifierGroup.product_id)
        .join(Option, Option.group_id == ProductModifierGroup.group_id)
        .join(OptionIngredient, OptionIngredient.option_id == Option.id)
        .where(OptionIngredient.ingredient_id == ingredient_id)
    )
    return select(Product.id).where(or_(Product.id.in_(contained), Product.id.in_(added)))


async def fetch_ids(session: AsyncSession, products: Select[UUID]) -> Sequence[UUID]:
    """Return the ids of the products that a SELECT finds; for a change after which it would not find them any more."""
    return (await session.scalars(products)).all()


async def refresh(session: AsyncSession, products: Select[UUID] | Sequence[UUID]) -> None:
    """Write the documents of these products again, and set a new version of the menu. Call it at the end of a change.

    It locks the documents in order of their ids. If two changes show in one document, the second waits here, and then
    reads what the first has committed. A change that links a group, an ingredient or a category to a product has
    locked it against edits. The menu's version is locked last, so that changes of different products wait for each
    other only there.
    """
    await session.flush()
    ids = products if isinstance(products, Sequence) else await fetch_ids(session, products)
    ids = sorted(ids)
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        await _lock(session, batch)
        await _write(session, batch)
    await _SET_VERSION.rows(session, version=uuid4())


_SET_VERSION: Final = Statement(
    insert(MenuVersion)
    .values(id=1, version=bindparam("version"))
    .on_conflict_do_update(index_elements=["id"], set_={"version": bindparam("version")})
)


async def rebuild(session: AsyncSession, *, only_outdated: bool = False) -> int:
    """Write every document again, and return how many.

    `only_outdated`: only missing ones and those of other schemas.
    """
    products = select(Product.id).where(Product.archived_at.is_(None))
    if only_outdated:
        current = select(ProductDocument.product_id).where(ProductDocument.shape == SCHEMA_DIGEST)
        products = products.where(Product.id.not_in(current))
    ids = await fetch_ids(session, products)
    await refresh(session, ids)
    return len(ids)


async def render(session: AsyncSession, product_ids: Collection[UUID]) -> list[dict[str, object]]:
    """Return the rows of the documents, made from the tables. Archived products have none."""
    # Another session in the same transaction: `_remove_hidden_parts` changes loaded objects, and the caller must not
    # see that.
    async with AsyncSession(await session.connection()) as own_session:
        products = await queries.load_products(own_session, product_ids)
        full = {product.id: _json(product) for product in products}
        schedules = await queries.load_category_schedules(own_session, product_ids)
        pricing = {
            product.id: queries.build_pricing_product(product, category_schedules=schedules.get(product.id, ()))
            for product in products
        }
        on_menu = {product.id for product in products if product.is_on_menu}
        for product in products:
            _remove_hidden_parts(product)
        public = {product.id: _json(product) if product.id in on_menu else None for product in products}
        return [
            {
                "product_id": id_,
                "shape": SCHEMA_DIGEST,
                "full": document if document != public[id_] else None,
                "public": public[id_],
                "pricing": queries.pricing_document(pricing[id_]),
                "search_text": _search_text(document),
                "public_search_text": _search_text(public[id_]),
                "can_be_without": domain.avoidable_allergens(pricing[id_]),
            }
            for id_, document in full.items()
        ]


async def _lock(session: AsyncSession, product_ids: Collection[UUID]) -> None:
    documents = select(ProductDocument.product_id).where(ProductDocument.product_id.in_(product_ids))
    await session.scalars(documents.order_by(ProductDocument.product_id).with_for_update())


async def _write(session: AsyncSession, product_ids: Collection[UUID]) -> None:
    rows = await render(session, product_ids)
    rendered = [row["product_id"] for row in rows]
    await session.execute(
        delete(ProductDocument).where(
            ProductDocument.product_id.in_(product_ids), ProductDocument.product_id.not_in(rendered)
        )
    )
    if rows:
        upsert = insert(ProductDocument).values(rows)
        changed = {name: upsert.excluded[name] for name in rows[0].keys() - {"product_id"}}
        await session.execute(upsert.on_conflict_do_update(index_elements=["product_id"], set_=changed))


def _json(product: Product) -> bytes:
    return ProductOut.model_validate(product).model_dump_json().encode()


def _search_text(document: bytes | None) -> str:
    """Return the texts of a document that a search looks through, one on each line."""
    if document is None:
        return ""
    product = json.loads(document)
    return "\n".join(text for path in _SEARCHED for text in _texts(product, path.split(".")))


def _texts(part: Any, path: Sequence[str]) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _texts(each, path)
    elif part is not None and path:
        yield from _texts(part[path[0]], path[1:])
    elif part:
        yield part


def _remove_hidden_parts(product: Product) -> None:
    """Remove from a loaded product the categories and options that the public doesn't see."""
    set_committed_value(product, "categories", [link for link in product.categories if link.category.is_on_menu])
    for link in product.modifier_groups:
        set_committed_value(link.group, "options", [option for option in link.group.options if option.is_active])
