"""Importing the whole menu from one document. A workbook is converted to that document first.

Rows are matched, changed and added, but never removed, so that carts and orders keep what they refer to.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import Loc
from crema.db.session import commit_now
from crema.media.service.workbooks import Sheet, WorkbookReader
from crema.menu import domain
from crema.menu.domain import InvalidModifierGroupError
from crema.menu.models import (
    Category,
    Ingredient,
    ModifierGroup,
    Option,
    Product,
    ProductCategory,
    ProductDocument,
    Size,
)
from crema.menu.schemas import (
    CategoryIn,
    CategoryPatch,
    IngredientIn,
    IngredientPatch,
    MenuDocument,
    MenuOption,
    MenuProduct,
    ModifierGroupIn,
    ModifierGroupPatch,
    ProductIn,
    ProductPatch,
    SizeIn,
)
from crema.menu.service.categories import create_category, edit_category, lock_tree
from crema.menu.service.exporting import (
    CATEGORY_COLUMNS,
    GROUP_COLUMNS,
    LINK_COLUMNS,
    OPTION_COLUMNS,
    PRODUCT_COLUMNS,
    SIZE_COLUMNS,
    CurrentMenu,
    column_values,
    fold_name,
)
from crema.menu.service.import_checks import (
    InvalidMenuError,
    depth_of,
    find_problems,
    merged_parts,
    parents_of,
)
from crema.menu.service.ingredients import create_ingredient, edit_ingredient
from crema.menu.service.integrity import nutrition_values
from crema.menu.service.modifier_groups import create_modifier_group, edit_modifier_group
from crema.menu.service.products import create_product, edit_product
from crema.menu.service.workbook import MenuWorkbook, read_menu


@dataclass(frozen=True, slots=True)
class RowChange:
    """What an import did with one row of the document."""

    loc: Loc
    key: str
    action: str
    fields: Sequence[str] = ()


@dataclass(slots=True)
class ImportResult:
    """What an import did, or would do."""

    dry_run: bool
    changes: list[RowChange] = field(default_factory=list)
    unchanged: int = 0

    def count_row(self, loc: Loc, key: str, fields: Sequence[str] | None) -> None:
        """Count a row, with the names of its changed fields; None for a new row."""
        if fields is None:
            self.changes.append(RowChange(loc, key, "created"))
        elif fields:
            self.changes.append(RowChange(loc, key, "updated", fields))
        else:
            self.unchanged += 1


async def import_menu(session: AsyncSession, *, document: MenuDocument, dry_run: bool, now: datetime) -> ImportResult:
    """Import the whole document or nothing, and return what changed. `dry_run`: only return what would change."""
    await _lock_menu(session)
    menu = await CurrentMenu.load(session)
    if problems := [*find_problems(document, menu)]:
        raise InvalidMenuError(problems)

    result = ImportResult(dry_run)
    async with session.begin_nested() as savepoint:
        ingredients = await _import_ingredients(session, document, menu, result)
        groups = await _import_groups(session, document, menu, result, ingredients=ingredients, now=now)
        categories = await _import_categories(session, document, menu, result, now=now)
        ids = _Ids(ingredients, groups, categories)
        for place, row in enumerate(document.products):
            loc = ("products", place)
            with _located(loc):
                fields = await _import_product(session, row, menu.products.get(row.slug), ids=ids, now=now)
            result.count_row(loc, row.slug, fields)
        if dry_run:
            await savepoint.rollback()
    return result


async def import_workbook(
    session: AsyncSession, reader: WorkbookReader, *, file: BinaryIO, person_id: UUID, dry_run: bool, now: datetime
) -> ImportResult:
    """Import a workbook as `import_menu` does. Locations are those of its sheets, rows and columns.

    It commits what the session holds before it reads the file, because reading takes long.
    """
    async with reader.slot(person_id):
        await commit_now(session)
        sheets = await reader.read(file)
        workbook, document = await asyncio.to_thread(_document, sheets)

    try:
        result = await import_menu(session, document=document, dry_run=dry_run, now=now)
    except InvalidMenuError as error:
        raise InvalidMenuError([(workbook.place(loc), message) for loc, message in error.problems]) from None
    result.changes = [replace(change, loc=workbook.place(change.loc)) for change in result.changes]
    return result


def _document(sheets: Sequence[Sheet]) -> tuple[MenuWorkbook, MenuDocument]:
    workbook = read_menu(sheets)
    return workbook, workbook.document()


async def _lock_menu(session: AsyncSession) -> None:
    """Lock the menu against other changes, in the order in which these lock. Orders are still taken."""
    await lock_tree(session)
    for statement in (
        select(Product.id).where(Product.archived_at.is_(None)).order_by(Product.id).with_for_update(key_share=True),
        select(Category.id).order_by(Category.id).with_for_update(),
        select(Ingredient.id).order_by(Ingredient.id).with_for_update(),
        select(ModifierGroup.id).order_by(ModifierGroup.id).with_for_update(key_share=True),
        select(ProductDocument.product_id).order_by(ProductDocument.product_id).with_for_update(),
    ):
        await session.execute(statement)


@dataclass(frozen=True, slots=True)
class _Ids:
    """Ids by the keys that the document uses."""

    ingredients: Mapping[str, UUID]
    groups: Mapping[str, UUID]
    categories: Mapping[str, UUID]


async def _import_ingredients(
    session: AsyncSession, document: MenuDocument, menu: CurrentMenu, result: ImportResult
) -> dict[str, UUID]:
    ids = {key: ingredient.id for key, ingredient in menu.ingredients.items()}
    for place, row in enumerate(document.ingredients):
        present = menu.ingredients.get(fold_name(row.name))
        fields = None if present is None else ["name"] if present.name != row.name else []
        if present is None:
            ids[fold_name(row.name)] = (await create_ingredient(session, ingredient_in=IngredientIn(name=row.name))).id
        elif fields:
            await edit_ingredient(session, ingredient_id=present.id, changes=IngredientPatch(name=row.name))
        result.count_row(("ingredients", place), row.name, fields)
    return ids


async def _import_groups(
    session: AsyncSession,
    document: MenuDocument,
    menu: CurrentMenu,
    result: ImportResult,
    *,
    ingredients: Mapping[str, UUID],
    now: datetime,
) -> dict[str, UUID]:
    ids = {group.name: group.id for group in menu.groups.values()}
    for place, row in enumerate(document.modifier_groups):
        loc, present = ("modifier_groups", place), menu.match(row)
        parts = merged_parts(row.options, present.options if present else [])
        options = [_option(part, id_, ingredients) for part, id_ in parts]
        values = column_values(row, GROUP_COLUMNS) | {"options": options}
        group_id, fields = present.id if present else None, None
        with _located(loc):
            if present is None:
                new = ModifierGroupIn.model_validate(values)
                group_id = (await create_modifier_group(session, group_in=new, now=now)).id
            else:
                there = [_option(option, option.id, ingredients) for option in present.options]
                fields = _differing(values, column_values(present, GROUP_COLUMNS) | {"options": there})
                if fields:
                    patch = ModifierGroupPatch.model_validate(values)
                    await edit_modifier_group(session, group_id=present.id, changes=patch, now=now)
        assert group_id is not None
        ids[row.key or row.name] = group_id
        result.count_row(loc, row.key or row.name, fields)
    return ids


def _option(part: MenuOption | Option, id_: UUID | None, ingredients: Mapping[str, UUID]) -> dict[str, Any]:
    if isinstance(part, Option):
        contained = [link.ingredient_id for link in part.ingredients]
        prices: list[Any] = part.size_prices
        by_size: list[Any] = part.size_nutrition
    else:
        contained = [ingredients[fold_name(name)] for name in part.ingredients]
        prices = [each.model_dump(mode="json") for each in part.size_prices]
        by_size = [each.model_dump() for each in part.size_nutrition]
    return column_values(part, OPTION_COLUMNS) | {
        "id": id_,
        "ingredient_ids": contained,
        "size_prices": prices,
        "nutrition": nutrition_values(part.nutrition),
        "size_nutrition": [each | {"nutrition": nutrition_values(each["nutrition"])} for each in by_size],
    }


def _size(part: SizeIn | Size, id_: UUID | None) -> dict[str, Any]:
    return {"id": id_} | column_values(part, SIZE_COLUMNS) | {"nutrition": nutrition_values(part.nutrition)}


async def _import_categories(
    session: AsyncSession, document: MenuDocument, menu: CurrentMenu, result: ImportResult, *, now: datetime
) -> dict[str, UUID]:
    """Import categories, parents before children, and return all ids by slug."""
    ids = {slug: category.id for slug, category in menu.categories.items()}
    parents = parents_of(document, menu)
    rows = sorted(enumerate(document.categories), key=lambda row: depth_of(row[1].slug, parents) or 0)
    for place, row in rows:
        present = menu.categories.get(row.slug)
        values = column_values(row, CATEGORY_COLUMNS) | {
            "parent_id": ids[row.parent] if row.parent else None,
            "schedule": [each.model_dump(mode="json") for each in row.schedule],
        }
        there = None if present is None else column_values(present, [*CATEGORY_COLUMNS, "parent_id", "schedule"])
        fields = None if there is None else _differing(values, there)
        if present is None:
            new = CategoryIn.model_validate(values | {"slug": row.slug})
            ids[row.slug] = (await create_category(session, category_in=new, now=now)).id
        elif fields:
            patch = CategoryPatch.model_validate({name: values[name] for name in fields})
            await edit_category(session, category_id=present.id, changes=patch, now=now)
        result.count_row(("categories", place), row.slug, fields)
    return ids


async def _import_product(
    session: AsyncSession, row: MenuProduct, present: Product | None, *, ids: _Ids, now: datetime
) -> Sequence[str] | None:
    """Add or change one product, and return the names of its changed fields; None for a new one."""
    places = {ids.categories[each.slug]: each.position for each in row.categories}
    values = column_values(row, PRODUCT_COLUMNS) | {
        "nutrition": nutrition_values(row.nutrition),
        "schedule": [each.model_dump(mode="json") for each in row.schedule],
        "sizes": _sizes(row, present),
        "modifier_groups": [
            {"group_id": ids.groups[each.group]} | column_values(each, LINK_COLUMNS) for each in row.modifier_groups
        ],
        "ingredient_ids": [ids.ingredients[fold_name(name)] for name in row.ingredients],
    }
    fields = None if present is None else _differing(values | {"categories": places}, _present(present))
    product_id = present.id if present else None
    if present is None:
        new = ProductIn.model_validate(values | {"category_ids": [*places]})
        product_id = (await create_product(session, product_in=new, now=now)).id
    elif fields:
        patch = ProductPatch.model_validate(values | {"category_ids": [*places]})
        await edit_product(session, product_id=present.id, changes=patch, now=now)
    if fields is None or "categories" in fields:
        for category_id, position in places.items():
            await session.execute(
                update(ProductCategory)
                .where(ProductCategory.product_id == product_id, ProductCategory.category_id == category_id)
                .values(position=position)
            )
    return fields


def _sizes(row: MenuProduct, present: Product | None) -> list[dict[str, Any]]:
    """Return the product's sizes: those of the document, then those that only the database has."""
    parts = merged_parts(row.sizes, present.sizes if present else [])
    sizes = [_size(part, id_) for part, id_ in parts]
    default = domain.default_size([size["is_default"] for size in sizes])
    return [size | {"is_default": place == default} for place, size in enumerate(sizes)]


def _present(product: Product) -> dict[str, Any]:
    """Return a stored product in the form that `_import_product` compares."""
    return column_values(product, PRODUCT_COLUMNS) | {
        "nutrition": nutrition_values(product.nutrition),
        "schedule": product.schedule,
        "categories": {link.category_id: link.position for link in product.categories},
        "sizes": [_size(size, size.id) for size in product.sizes],
        "modifier_groups": [column_values(link, ["group_id", *LINK_COLUMNS]) for link in product.modifier_groups],
        "ingredient_ids": [link.ingredient_id for link in product.ingredients],
    }


def _differing(new: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    return [name for name in new if new[name] != present[name]]


@contextmanager
def _located(loc: Loc) -> Iterator[None]:
    """Add the location of the row to what is raised for it."""
    try:
        yield
    except ValidationError as error:
        raise InvalidMenuError([((*loc, *each["loc"]), each["msg"]) for each in error.errors()]) from None
    except InvalidModifierGroupError as error:
        raise InvalidMenuError([(loc, error.detail)]) from None
