"""Every change to products."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import Row, String, cast, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import Loc
from crema.core.slug import SlugTakenError
from crema.db.base import new_id
from crema.db.edits import apply_changes, when_violated
from crema.menu import domain, queries
from crema.menu.models import (
    Category,
    Ingredient,
    Product,
    ProductCategory,
    ProductIngredient,
    ProductModifierGroup,
    Size,
)
from crema.menu.schemas import (
    ProductGroupIn,
    ProductIn,
    ProductOut,
    ProductPatch,
    ReplaceProduct,
    SizeIn,
)
from crema.menu.service import documents
from crema.menu.service.exporting import LINK, SIZE, columns
from crema.menu.service.integrity import (
    check_known,
    free_slug,
    nutrition_values,
    placed,
    refuse_unknown,
)
from crema.menu.service.modifier_groups import rules_of
from crema.schemas import value_or

_COPIED: Final = (
    "name",
    "description",
    "price",
    "position",
    "allergens",
    "allergens_always",
    "nutrition",
    "preparation_seconds",
    "schedule",
)

_SizeRow: TypeAlias = Row[UUID, str, bool, Mapping[str, Any] | None]
_SIZES: Final = select(Size.id, Size.name, Size.is_default, Size.nutrition)


async def create_product(session: AsyncSession, *, wanted: ProductIn, now: datetime) -> Product:
    """Add a product with its parts."""
    wanted.check_read_only(None)
    await _check_references(session, wanted, known_sizes=())
    _check_nutrition(wanted, product=None, sizes=())

    product = Product(slug=wanted.slug or await free_slug(session, Product, wanted.name), created_at=now)
    session.add(product)
    with when_violated(SlugTakenError(), "uq_products_slug"):
        await apply_changes(session, product, wanted, now=now, kept_if_none=("slug",))
    await _write_parts(session, product.id, wanted)
    await documents.refresh(session, [product.id])
    return await queries.get_product(session, product.id)


async def edit_product(
    session: AsyncSession, *, product_id: UUID, wanted: ProductPatch | ReplaceProduct, now: datetime
) -> Product:
    """Set fields of a product: those that were sent, or all of a replacement.

    Lists are replaced; a slug of None is kept.
    """
    product = await queries.get_product_for_update(session, product_id)
    if wanted.modifier_groups is not MISSING:
        product = await queries.get_product(session, product_id)
        wanted.check_read_only(ProductOut.model_validate(product))
        _keep_limits(product, wanted.modifier_groups)
    sizes = (await session.execute(_SIZES.where(Size.product_id == product_id))).all()
    await _check_references(session, wanted, known_sizes=[size.id for size in sizes])
    _check_nutrition(wanted, product=product, sizes=sizes)

    with when_violated(SlugTakenError(), "uq_products_slug"):
        await apply_changes(session, product, wanted, now=now, kept_if_none=("slug",))
    await _write_parts(session, product_id, wanted)
    await documents.refresh(session, [product_id])
    return await queries.get_product(session, product_id)


async def archive_product(session: AsyncSession, *, product_id: UUID, now: datetime) -> None:
    """Take a product off the menu for good. Its row stays for the carts and orders that name it."""
    product = await queries.get_product_for_update(session, product_id)
    product.archived_at = now
    await documents.refresh(session, [product_id])


async def copy_product(session: AsyncSession, *, product_id: UUID, name: str | None, now: datetime) -> Product:
    """Add a product that is made like another. It is inactive until somebody looks at it, and has no pictures."""
    product = await queries.get_product(session, product_id)
    like = columns(product, _COPIED)
    wanted = ProductIn.model_validate(
        {
            **like,
            "name": name or product.name,
            "is_active": False,
            "category_ids": [link.category_id for link in product.categories],
            "sizes": [columns(size, SIZE) for size in product.sizes],
            "modifier_groups": [columns(link, ["group_id", *LINK]) for link in product.modifier_groups],
            "ingredient_ids": [link.ingredient_id for link in product.ingredients],
        }
    )
    return await create_product(session, wanted=wanted, now=now)


async def restore_product(session: AsyncSession, *, product_id: UUID, now: datetime) -> Product:
    """Take a deleted product back; one that is there already stays as it is.

    It gets another slug if its own was taken meanwhile, and a group's own limits where nobody could keep the
    product's any more.
    """
    product = await queries.get_any_product_for_update(session, product_id)
    if product.archived_at is None:
        return await queries.get_product(session, product_id)
    await _lock_parts(session, product_id)

    slug = (
        await free_slug(session, Product, product.name) if await queries.is_slug_taken(session, product.slug) else None
    )
    product.slug = slug or product.slug
    product.archived_at = None
    product.updated_at = now
    with when_violated(SlugTakenError(), "uq_products_slug"):
        await session.flush()
    restored = await queries.get_product(session, product_id)
    for link in restored.modifier_groups:
        try:
            domain.check_group(
                link.group.name,
                min_choices=link.effective_min_choices,
                max_choices=link.effective_max_choices,
                options=rules_of(link.group),
            )
        except domain.InvalidModifierGroupError:
            link.min_choices = link.max_choices = None
    await documents.refresh(session, [product_id])
    return await queries.get_product(session, product_id)


async def _lock_parts(session: AsyncSession, product_id: UUID) -> None:
    """Keep all that a product's document shows from being changed until the transaction ends."""
    parts = (
        (Category, ProductCategory.category_id, ProductCategory.product_id),
        (Ingredient, ProductIngredient.ingredient_id, ProductIngredient.product_id),
    )
    for model, part_id, owner_id in parts:
        found = await session.scalars(select(part_id).where(owner_id == product_id))
        await check_known(session, model, placed("id", found.all()))
    offered = await session.scalars(
        select(ProductModifierGroup.group_id).where(ProductModifierGroup.product_id == product_id)
    )
    await queries.load_modifier_groups_locked(session, offered.all())


def _keep_limits(product: Product, links: Sequence[ProductGroupIn]) -> None:
    """Keep the group's own limits and free quantity the group's where they came back as the product shows them."""
    offered = {link.group_id: link for link in product.modifier_groups}
    for link in links:
        present = offered.get(link.group_id)
        if link.is_document and present is not None:
            if link.min_choices == present.effective_min_choices:
                link.min_choices = present.min_choices
            if link.max_choices == present.effective_max_choices:
                link.max_choices = present.max_choices
            if link.free_quantity == present.effective_free_quantity:
                link.free_quantity = present.free_quantity


def _links(wanted: ProductIn | ProductPatch) -> dict[Loc, ProductGroupIn] | None:
    """Return the groups by their places in the body, in whichever of the two ways they came; None: not at all."""
    if wanted.modifier_groups is MISSING and wanted.modifier_group_ids is MISSING:
        return None
    own: dict[Loc, ProductGroupIn] = {
        ("modifier_groups", place, "group_id"): link for place, link in enumerate(value_or(wanted.modifier_groups, []))
    }
    plain: dict[Loc, ProductGroupIn] = {
        ("modifier_group_ids", place): ProductGroupIn(group_id=group_id)
        for place, group_id in enumerate(value_or(wanted.modifier_group_ids, []))
    }
    return {**own, **plain}


async def _check_references(
    session: AsyncSession, wanted: ProductIn | ProductPatch, *, known_sizes: Sequence[UUID]
) -> None:
    """Refuse what does not exist, and groups nobody could choose from; what does exist stays until the end."""
    refuse_unknown(
        {
            ("sizes", place, "id"): size.id
            for place, size in enumerate(value_or(wanted.sizes, []))
            if size.id is not None and size.id not in known_sizes
        }
    )
    await check_known(session, Category, placed("category_ids", value_or(wanted.category_ids, [])))
    await check_known(session, Ingredient, placed("ingredient_ids", value_or(wanted.ingredient_ids, [])))
    if links := _links(wanted):
        groups = await queries.load_modifier_groups_locked(session, {link.group_id for link in links.values()})
        refuse_unknown({loc: link.group_id for loc, link in links.items() if link.group_id not in groups})
        for link in links.values():
            group = groups[link.group_id]
            domain.check_group(
                group.name,
                min_choices=group.min_choices if link.min_choices is None else link.min_choices,
                max_choices=group.max_choices if link.max_choices is None else link.max_choices,
                options=rules_of(group),
            )


def _check_nutrition(wanted: ProductIn | ProductPatch, *, product: Product | None, sizes: Sequence[_SizeRow]) -> None:
    """Refuse other figures for the default size than for the product: as sent, else as they are now.

    `sizes` are rows of `_SIZES`.
    """
    of_product = (product.nutrition if product else None) if wanted.nutrition is MISSING else wanted.nutrition
    offered: Sequence[SizeIn | _SizeRow] = sizes if wanted.sizes is MISSING else wanted.sizes
    default = domain.default_size([size.is_default for size in offered])
    if default is not None:
        size = offered[default]
        domain.check_nutrition(
            of_product=nutrition_values(of_product), size=size.name, of_size=nutrition_values(size.nutrition)
        )


async def _write_parts(session: AsyncSession, product_id: UUID, wanted: ProductIn | ProductPatch) -> None:
    if wanted.category_ids is not MISSING:
        await _file_under(session, product_id=product_id, category_ids=wanted.category_ids)
    if wanted.sizes is not MISSING:
        await _write_sizes(session, product_id=product_id, sizes=wanted.sizes)
    if (links := _links(wanted)) is not None:
        offered = [link.model_dump() for link in links.values()]
        await _replace_links(session, ProductModifierGroup, product_id=product_id, rows=offered)
    if wanted.ingredient_ids is not MISSING:
        contained = [{"ingredient_id": ingredient_id} for ingredient_id in wanted.ingredient_ids]
        await _replace_links(session, ProductIngredient, product_id=product_id, rows=contained)


async def _file_under(session: AsyncSession, *, product_id: UUID, category_ids: Sequence[UUID]) -> None:
    """Put a product under these headings only: where it stood already it keeps its place."""
    await session.execute(
        delete(ProductCategory).where(
            ProductCategory.product_id == product_id, ProductCategory.category_id.not_in(category_ids)
        )
    )
    if category_ids:
        rows = [{"product_id": product_id, "category_id": category_id} for category_id in category_ids]
        await session.execute(insert(ProductCategory).values(rows).on_conflict_do_nothing())


async def _write_sizes(session: AsyncSession, *, product_id: UUID, sizes: Sequence[SizeIn]) -> None:
    """Keep the sizes whose id is given, add those without one, drop the others. The product's row is locked."""
    ids = [size.id or new_id() for size in sizes]
    mine = Size.product_id == product_id
    await session.execute(delete(Size).where(mine, Size.id.not_in(ids)))
    if not sizes:
        return
    # Out of each other's way first: two that swap names would collide half-way.
    parked = cast(Size.id, String)
    await session.execute(
        update(Size).where(mine).values(name=parked, is_default=False), execution_options={"synchronize_session": False}
    )
    default = domain.default_size([size.is_default for size in sizes])
    rows = [
        {
            "id": id_,
            "product_id": product_id,
            "name": size.name,
            "volume_ml": size.volume_ml,
            "price_delta": size.price_delta,
            "is_default": place == default,
            "nutrition": size.nutrition.model_dump() if size.nutrition else None,
            "position": place,
        }
        for place, (id_, size) in enumerate(zip(ids, sizes, strict=True))
    ]
    written = insert(Size).values(rows)
    changed = {name: written.excluded[name] for name in rows[0] if name not in ("id", "product_id")}
    await session.execute(written.on_conflict_do_update(index_elements=["id"], set_=changed))


async def _replace_links(
    session: AsyncSession,
    model: type[ProductModifierGroup | ProductIngredient],
    *,
    product_id: UUID,
    rows: Sequence[Mapping[str, object]],
) -> None:
    await session.execute(delete(model).where(model.product_id == product_id))
    if rows:
        placed_rows = [{**row, "product_id": product_id, "position": place} for place, row in enumerate(rows)]
        await session.execute(insert(model).values(placed_rows))
