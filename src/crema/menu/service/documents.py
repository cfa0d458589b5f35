"""Products as they are read: stored JSON, written in the transaction of whatever changes what it shows.

Reading the menu so costs one statement and no rendering. The tables stay the truth: `rebuild` makes every document of
them again.
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
SHAPE: Final = hashlib.sha256(
    json.dumps([ProductOut.model_json_schema(mode="serialization"), _SEARCHED, queries.PRICING_SHAPE]).encode()
).hexdigest()[:16]
"""What a document looks like: another version's documents are another shape's, and are rebuilt by `crema migrate`."""


def of_product(product_id: UUID) -> Select[UUID]:
    return select(Product.id).where(Product.id == product_id)


def of_categories(category_ids: Collection[UUID]) -> Select[UUID]:
    return select(ProductCategory.product_id).where(ProductCategory.category_id.in_(category_ids)).distinct()


def of_group(group_id: UUID) -> Select[UUID]:
    return select(ProductModifierGroup.product_id).where(ProductModifierGroup.group_id == group_id)


def of_ingredient(ingredient_id: UUID) -> Select[UUID]:
    contained = select(ProductIngredient.product_id).where(ProductIngredient.ingredient_id == ingredient_id)
    added = (
        select(ProductModifierGroup.product_id)
        .join(Option, Option.group_id == ProductModifierGroup.group_id)
        .join(OptionIngredient, OptionIngredient.option_id == Option.id)
        .where(OptionIngredient.ingredient_id == ingredient_id)
    )
    return select(Product.id).where(or_(Product.id.in_(contained), Product.id.in_(added)))


async def find(session: AsyncSession, products: Select[UUID]) -> Sequence[UUID]:
    """Tell which products show something, before it goes."""
    return (await session.scalars(products)).all()


async def refresh(session: AsyncSession, products: Select[UUID] | Sequence[UUID]) -> None:
    """Write these products' documents anew, and note that the menu has changed. The last thing a change does.

    Locks the documents, by id: of two changes that show in one document the second waits here, and then reads what
    the first committed. What a product can newly show — a group, an ingredient, a heading — is locked against edits by
    whoever links it. The menu's version is locked last: changes of different products wait for each other only there.
    """
    await session.flush()
    ids = products if isinstance(products, Sequence) else await find(session, products)
    ids = sorted(ids)
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        await _lock(session, some)
        await _write(session, some)
    await _RENEW.rows(session, version=uuid4())


_RENEW: Final = Statement(
    insert(MenuVersion)
    .values(id=1, version=bindparam("version"))
    .on_conflict_do_update(index_elements=["id"], set_={"version": bindparam("version")})
)


async def rebuild(session: AsyncSession, *, only_outdated: bool = False) -> int:
    """Write every document anew, or those of another shape and those that are missing; tell how many."""
    products = select(Product.id).where(Product.archived_at.is_(None))
    if only_outdated:
        current = select(ProductDocument.product_id).where(ProductDocument.shape == SHAPE)
        products = products.where(Product.id.not_in(current))
    ids = await find(session, products)
    await refresh(session, ids)
    return len(ids)


async def render(session: AsyncSession, product_ids: Collection[UUID]) -> list[dict[str, object]]:
    """Make the documents of the tables, as rows; products that are archived have none."""
    # A session of its own, on the same transaction: what is hidden below must not hide from the caller.
    async with AsyncSession(await session.connection()) as reading:
        products = await queries.load_products(reading, product_ids)
        everything = {product.id: _json(product) for product in products}
        headings = await queries.schedules_of_headings(reading, product_ids)
        priced = {
            product.id: queries.priced_product(product, headings=headings.get(product.id, ())) for product in products
        }
        on_menu = {product.id for product in products if product.is_on_menu}
        for product in products:
            _hide(product)
        public = {product.id: _json(product) if product.id in on_menu else None for product in products}
        return [
            {
                "product_id": id_,
                "shape": SHAPE,
                "full": document if document != public[id_] else None,
                "public": public[id_],
                "pricing": queries.pricing_document(priced[id_]),
                "search_text": _search_text(document),
                "public_search_text": _search_text(public[id_]),
                "can_be_without": domain.avoidable_allergens(priced[id_]),
            }
            for id_, document in everything.items()
        ]


async def _lock(session: AsyncSession, product_ids: Collection[UUID]) -> None:
    wanted = select(ProductDocument.product_id).where(ProductDocument.product_id.in_(product_ids))
    await session.scalars(wanted.order_by(ProductDocument.product_id).with_for_update())


async def _write(session: AsyncSession, product_ids: Collection[UUID]) -> None:
    rows = await render(session, product_ids)
    rendered = [row["product_id"] for row in rows]
    await session.execute(
        delete(ProductDocument).where(
            ProductDocument.product_id.in_(product_ids), ProductDocument.product_id.not_in(rendered)
        )
    )
    if rows:
        written = insert(ProductDocument).values(rows)
        changed = {name: written.excluded[name] for name in rows[0].keys() - {"product_id"}}
        await session.execute(written.on_conflict_do_update(index_elements=["product_id"], set_=changed))


def _json(product: Product) -> bytes:
    return ProductOut.model_validate(product).model_dump_json().encode()


def _search_text(document: bytes | None) -> str:
    """Gather what a search of the whole product looks through, a line for each text."""
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


def _hide(product: Product) -> None:
    """Take from a loaded product what the public doesn't see inside it."""
    set_committed_value(product, "categories", [link for link in product.categories if link.category.is_on_menu])
    for link in product.modifier_groups:
        set_committed_value(link.group, "options", [option for option in link.group.options if option.is_active])
