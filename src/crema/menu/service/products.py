"""Changes to products."""

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
from crema.db.edits import apply_changes, raise_on_constraint
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
from crema.menu.service.exporting import LINK_COLUMNS, SIZE_COLUMNS, column_values
from crema.menu.service.integrity import (
    check_known,
    free_slug,
    locations,
    nutrition_values,
    refuse_unknown,
)
from crema.menu.service.modifier_groups import rules_of
from crema.schemas import value_or

_COPIED_COLUMNS: Final = (
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


async def create_product(session: AsyncSession, *, product_in: ProductIn, now: datetime) -> Product:
    """Add a product with its parts and return it."""
    product_in.check_read_only(None)
    await _check_references(session, product_in, known_sizes=())
    _check_nutrition(product_in, product=None, sizes=())

    product = Product(slug=product_in.slug or await free_slug(session, Product, product_in.name), created_at=now)
    session.add(product)
    with raise_on_constraint(SlugTakenError(), "uq_products_slug"):
        await apply_changes(session, product, product_in, now=now, kept_if_none=("slug",))
    await _write_parts(session, product.id, product_in)
    await documents.refresh(session, [product.id])
    return await queries.get_product(session, product.id)


async def edit_product(
    session: AsyncSession, *, product_id: UUID, changes: ProductPatch | ReplaceProduct, now: datetime
) -> Product:
    """Change the fields of a product that were sent, or all fields of a replacement, and return the product.

    Lists are replaced as a whole. A slug of None keeps the present slug.
    """
    product = await queries.get_product_for_update(session, product_id)
    if changes.modifier_groups is not MISSING:
        product = await queries.get_product(session, product_id)
        changes.check_read_only(ProductOut.model_validate(product))
        _keep_inherited_limits(product, changes.modifier_groups)
    sizes = (await session.execute(_SIZES.where(Size.product_id == product_id))).all()
    await _check_references(session, changes, known_sizes=[size.id for size in sizes])
    _check_nutrition(changes, product=product, sizes=sizes)

    with raise_on_constraint(SlugTakenError(), "uq_products_slug"):
        await apply_changes(session, product, changes, now=now, kept_if_none=("slug",))
    await _write_parts(session, product_id, changes)
    await documents.refresh(session, [product_id])
    return await queries.get_product(session, product_id)


async def archive_product(session: AsyncSession, *, product_id: UUID, now: datetime) -> None:
    """Archive a product. Its row stays, because carts and orders refer to it."""
    product = await queries.get_product_for_update(session, product_id)
    product.archived_at = now
    await documents.refresh(session, [product_id])


async def copy_product(session: AsyncSession, *, product_id: UUID, name: str | None, now: datetime) -> Product:
    """Add a copy of a product and return it. The copy is inactive and has no pictures."""
    product = await queries.get_product(session, product_id)
    product_in = ProductIn.model_validate(
        {
            **column_values(product, _COPIED_COLUMNS),
            "name": name or product.name,
            "is_active": False,
            "category_ids": [link.category_id for link in product.categories],
            "sizes": [column_values(size, SIZE_COLUMNS) for size in product.sizes],
            "modifier_groups": [column_values(link, ["group_id", *LINK_COLUMNS]) for link in product.modifier_groups],
            "ingredient_ids": [link.ingredient_id for link in product.ingredients],
        }
    )
    return await create_product(session, product_in=product_in, now=now)


async def restore_product(session: AsyncSession, *, product_id: UUID, now: datetime) -> Product:
    """Restore an archived product and return it. A product that isn't archived stays as it is.

    It gets a new slug if another product has taken its slug. Where its own limits for a modifier group can't be
    satisfied any more, it gets those of the group.
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
    with raise_on_constraint(SlugTakenError(), "uq_products_slug"):
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
    """Lock everything that a product's document shows against changes until the transaction ends."""
    parts = (
        (Category, ProductCategory.category_id, ProductCategory.product_id),
        (Ingredient, ProductIngredient.ingredient_id, ProductIngredient.product_id),
    )
    for model, part_id, owner_id in parts:
        found = await session.scalars(select(part_id).where(owner_id == product_id))
        await check_known(session, model, locations("id", found.all()))
    offered = await session.scalars(
        select(ProductModifierGroup.group_id).where(ProductModifierGroup.product_id == product_id)
    )
    await queries.lock_modifier_groups(session, offered.all())


def _keep_inherited_limits(product: Product, links: Sequence[ProductGroupIn]) -> None:
    """Set limits that were sent as GET shows them back to what the product stores: None where they are the group's."""
    offered = {link.group_id: link for link in product.modifier_groups}
    for link in links:
        present = offered.get(link.group_id)
        if link.has_read_only_fields and present is not None:
            if link.min_choices == present.effective_min_choices:
                link.min_choices = present.min_choices
            if link.max_choices == present.effective_max_choices:
                link.max_choices = present.max_choices
            if link.free_quantity == present.effective_free_quantity:
                link.free_quantity = present.free_quantity


def _links(product_in: ProductIn | ProductPatch) -> dict[Loc, ProductGroupIn] | None:
    """Return the groups of a body by their locations, from either of its two fields; None if it has neither."""
    if product_in.modifier_groups is MISSING and product_in.modifier_group_ids is MISSING:
        return None
    own: dict[Loc, ProductGroupIn] = {
        ("modifier_groups", place, "group_id"): link
        for place, link in enumerate(value_or(product_in.modifier_groups, []))
    }
    plain: dict[Loc, ProductGroupIn] = {
        ("modifier_group_ids", place): ProductGroupIn(group_id=group_id)
        for place, group_id in enumerate(value_or(product_in.modifier_group_ids, []))
    }
    return {**own, **plain}


async def _check_references(
    session: AsyncSession, product_in: ProductIn | ProductPatch, *, known_sizes: Sequence[UUID]
) -> None:
    """Raise if something that the body refers to doesn't exist, or if a group's limits can't be satisfied.

    What exists is locked, so that it can't be deleted before the transaction ends.
    """
    refuse_unknown(
        {
            ("sizes", place, "id"): size.id
            for place, size in enumerate(value_or(product_in.sizes, []))
            if size.id is not None and size.id not in known_sizes
        }
    )
    await check_known(session, Category, locations("category_ids", value_or(product_in.category_ids, [])))
    await check_known(session, Ingredient, locations("ingredient_ids", value_or(product_in.ingredient_ids, [])))
    if links := _links(product_in):
        groups = await queries.lock_modifier_groups(session, {link.group_id for link in links.values()})
        refuse_unknown({loc: link.group_id for loc, link in links.items() if link.group_id not in groups})
        for link in links.values():
            group = groups[link.group_id]
            domain.check_group(
                group.name,
                min_choices=group.min_choices if link.min_choices is None else link.min_choices,
                max_choices=group.max_choices if link.max_choices is None else link.max_choices,
                options=rules_of(group),
            )


def _check_nutrition(
    product_in: ProductIn | ProductPatch, *, product: Product | None, sizes: Sequence[_SizeRow]
) -> None:
    """Raise if the nutrition of the product and of its default size differ, as they will be after the change.

    `sizes` are the present sizes, rows of `_SIZES`.
    """
    of_product = (product.nutrition if product else None) if product_in.nutrition is MISSING else product_in.nutrition
    offered: Sequence[SizeIn | _SizeRow] = sizes if product_in.sizes is MISSING else product_in.sizes
    default = domain.default_size([size.is_default for size in offered])
    if default is not None:
        size = offered[default]
        domain.check_nutrition(
            of_product=nutrition_values(of_product), size=size.name, of_size=nutrition_values(size.nutrition)
        )


async def _write_parts(session: AsyncSession, product_id: UUID, product_in: ProductIn | ProductPatch) -> None:
    if product_in.category_ids is not MISSING:
        await _set_categories(session, product_id=product_id, category_ids=product_in.category_ids)
    if product_in.sizes is not MISSING:
        await _write_sizes(session, product_id=product_id, sizes=product_in.sizes)
    if (links := _links(product_in)) is not None:
        offered = [link.model_dump() for link in links.values()]
        await _replace_links(session, ProductModifierGroup, product_id=product_id, rows=offered)
    if product_in.ingredient_ids is not MISSING:
        contained = [{"ingredient_id": ingredient_id} for ingredient_id in product_in.ingredient_ids]
        await _replace_links(session, ProductIngredient, product_id=product_id, rows=contained)


async def _set_categories(session: AsyncSession, *, product_id: UUID, category_ids: Sequence[UUID]) -> None:
    """Set the categories of a product. In those that it is in already it keeps its position."""
    await session.execute(
        delete(ProductCategory).where(
            ProductCategory.product_id == product_id, ProductCategory.category_id.not_in(category_ids)
        )
    )
    if category_ids:
        rows = [{"product_id": product_id, "category_id": category_id} for category_id in category_ids]
        await session.execute(insert(ProductCategory).values(rows).on_conflict_do_nothing())


async def _write_sizes(session: AsyncSession, *, product_id: UUID, sizes: Sequence[SizeIn]) -> None:
    """Update the sizes with an id, insert those without, and delete the others. The product's row is locked."""
    ids = [size.id or new_id() for size in sizes]
    is_of_product = Size.product_id == product_id
    await session.execute(delete(Size).where(is_of_product, Size.id.not_in(ids)))
    if not sizes:
        return
    # Unique names first: two sizes that swap their names would violate the constraint in between.
    unique_name = cast(Size.id, String)
    await session.execute(
        update(Size).where(is_of_product).values(name=unique_name, is_default=False),
        execution_options={"synchronize_session": False},
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
        links = [{**row, "product_id": product_id, "position": position} for position, row in enumerate(rows)]
        await session.execute(insert(model).values(links))
