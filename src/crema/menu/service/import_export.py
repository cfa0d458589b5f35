"""The whole menu as one document: written of the tables, and read back into them.

Rows are matched, changed and added, never removed, so that carts and orders keep what they name.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import InvalidError, Loc
from crema.menu import domain, queries
from crema.menu.domain import InvalidModifierGroupError, OptionRule
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
    MenuGroup,
    MenuOption,
    MenuProduct,
    ModifierGroupIn,
    ModifierGroupPatch,
    ProductIn,
    ProductPatch,
)
from crema.menu.service.categories import create_category, edit_category, lock_tree
from crema.menu.service.ingredients import create_ingredient, edit_ingredient
from crema.menu.service.modifier_groups import create_modifier_group, edit_modifier_group
from crema.menu.service.products import create_product, edit_product
from crema.schemas import Input

_CATEGORY: Final = ("name", "description", "position", "is_active")
_GROUP: Final = ("name", "min_choices", "max_choices", "free_quantity")
_OPTION: Final = ("name", "price_delta", "max_quantity", "is_default", "is_active", "allergens")
_SIZE: Final = ("name", "volume_ml", "price_delta", "is_default")
_PRODUCT: Final = (
    *("name", "slug", "description", "price", "is_active", "position"),
    *("allergens", "allergens_always", "preparation_seconds"),
)
_MAX_ERRORS: Final = 50

InputT = TypeVar("InputT", bound=Input)
PartT = TypeVar("PartT", Option, Size)


class InvalidMenuError(InvalidError):
    """Rows of the document contradict each other or the menu. `errors` names each by its place."""

    code = "invalid_menu"
    title = "This menu can't be imported."

    def __init__(self, problems: Sequence[tuple[Loc, str]]) -> None:
        errors = [
            {"loc": ["body", *loc], "msg": message, "type": "invalid_menu"} for loc, message in problems[:_MAX_ERRORS]
        ]
        super().__init__(
            "; ".join(f"{'.'.join(map(str, loc))}: {message}" for loc, message in problems[:5]), errors=errors
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What was done with one row of the document."""

    loc: Loc
    key: str
    action: str
    fields: Sequence[str] = ()


@dataclass(slots=True)
class Imported:
    """What an import did, or would do."""

    dry_run: bool
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0

    def note(self, loc: Loc, key: str, fields: Sequence[str] | None) -> None:
        """Count a row: new (None), or with the fields that changed."""
        if fields is None:
            self.changes.append(Change(loc, key, "created"))
        elif fields:
            self.changes.append(Change(loc, key, "updated", fields))
        else:
            self.unchanged += 1


@dataclass(slots=True)
class _Menu:
    """What is there, by what a document calls it."""

    categories: dict[str, Category]
    ingredients: dict[str, Ingredient]
    groups: dict[UUID, ModifierGroup]
    products: dict[str, Product]

    @classmethod
    async def load(cls, session: AsyncSession) -> "_Menu":
        categories = await session.scalars(select(Category).order_by(Category.position, Category.slug))
        ingredients = await session.scalars(select(Ingredient).order_by(Ingredient.name, Ingredient.id))
        groups = await queries.load_all_modifier_groups(session)
        products = await queries.load_all_products(session)
        return cls(
            {category.slug: category for category in categories},
            {_folded(ingredient.name): ingredient for ingredient in ingredients},
            {group.id: group for group in groups},
            {product.slug: product for product in products},
        )

    def named(self, name: str) -> list[ModifierGroup]:
        return [group for group in self.groups.values() if group.name == name]

    def match(self, group: MenuGroup) -> ModifierGroup | None:
        """Find the group that a row means: by its id, else by its name."""
        if group.id in self.groups:
            return self.groups[group.id]
        return next(iter(self.named(group.name)), None)


def _folded(name: str) -> str:
    """Fold a name as the unique index of ingredients does."""
    return name.lower().replace("ё", "е")


async def export_menu(session: AsyncSession) -> MenuDocument:
    """Write the menu as a document that `import_menu` takes and that changes nothing."""
    menu = await _Menu.load(session)
    slugs = {category.id: category.slug for category in menu.categories.values()}
    counts = Counter(group.name for group in menu.groups.values())
    keys = {group.id: group.name if counts[group.name] == 1 else str(group.id) for group in menu.groups.values()}
    return MenuDocument.model_validate(
        {
            "categories": [
                {"slug": each.slug, "parent": slugs.get(each.parent_id) if each.parent_id else None}
                | _columns(each, _CATEGORY)
                for each in menu.categories.values()
            ],
            "ingredients": [{"name": each.name} for each in menu.ingredients.values()],
            "modifier_groups": [
                {"id": each.id, "key": keys[each.id], "options": [_option_row(option) for option in each.options]}
                | _columns(each, _GROUP)
                for each in menu.groups.values()
            ],
            "products": [_product_row(each, slugs=slugs, keys=keys) for each in menu.products.values()],
        }
    )


def _columns(row: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _option_row(option: Option) -> dict[str, Any]:
    ingredients = [link.ingredient.name for link in option.ingredients]
    return {"id": option.id, "ingredients": ingredients} | _columns(option, _OPTION)


def _product_row(product: Product, *, slugs: Mapping[UUID, str], keys: Mapping[UUID, str]) -> dict[str, Any]:
    places = [{"slug": slugs[link.category_id], "position": link.position} for link in product.categories]
    return _columns(product, _PRODUCT) | {
        "nutrition": product.nutrition,
        "categories": sorted(places, key=lambda place: str(place["slug"])),
        "sizes": [{"id": size.id} | _columns(size, _SIZE) for size in product.sizes],
        "modifier_groups": [
            {"group": keys[link.group_id], "min_choices": link.min_choices, "max_choices": link.max_choices}
            for link in product.modifier_groups
        ],
        "ingredients": [link.ingredient.name for link in product.ingredients],
    }


async def import_menu(session: AsyncSession, *, wanted: MenuDocument, dry_run: bool, now: datetime) -> Imported:
    """Make the menu as the document says, all of it or nothing; with `dry_run` only tell what would change."""
    await _lock_menu(session)
    menu = await _Menu.load(session)
    if problems := [*_problems(wanted, menu)]:
        raise InvalidMenuError(problems)

    imported = Imported(dry_run)
    async with session.begin_nested() as savepoint:
        ingredients = await _import_ingredients(session, wanted, menu, imported)
        groups = await _import_groups(session, wanted, menu, imported, ingredients=ingredients, now=now)
        categories = await _import_categories(session, wanted, menu, imported, now=now)
        ids = _Ids(ingredients, groups, categories)
        for place, row in enumerate(wanted.products):
            loc = ("products", place)
            with _at(loc):
                fields = await _import_product(session, row, menu.products.get(row.slug), ids=ids, now=now)
            imported.note(loc, row.slug, fields)
        if dry_run:
            await savepoint.rollback()
    return imported


async def _lock_menu(session: AsyncSession) -> None:
    """Let no other change of the menu begin, in the order in which these lock; the shops go on selling."""
    await lock_tree(session)
    for statement in (
        select(Product.id).where(Product.archived_at.is_(None)).order_by(Product.id).with_for_update(key_share=True),
        select(Category.id).order_by(Category.id).with_for_update(),
        select(Ingredient.id).order_by(Ingredient.id).with_for_update(),
        select(ModifierGroup.id).order_by(ModifierGroup.id).with_for_update(key_share=True),
        select(ProductDocument.product_id).order_by(ProductDocument.product_id).with_for_update(),
    ):
        await session.execute(statement)


def _problems(wanted: MenuDocument, menu: _Menu) -> Iterator[tuple[Loc, str]]:
    """Find all that contradicts itself or names what isn't there."""
    yield from _repeated("categories", "slug", [row.slug for row in wanted.categories])
    yield from _repeated("products", "slug", [row.slug for row in wanted.products])
    yield from _repeated("ingredients", "name", [_folded(row.name) for row in wanted.ingredients])
    yield from _repeated("modifier_groups", "key", [row.key or row.name for row in wanted.modifier_groups])
    yield from _wrong_groups(wanted, menu)
    yield from _wrong_parents(wanted, menu)
    yield from _wrong_products(wanted, menu)
    known = menu.ingredients.keys() | {_folded(row.name) for row in wanted.ingredients}
    for loc, name in _ingredients_of(wanted):
        if _folded(name) not in known:
            yield loc, "no ingredient has this name"


def _wrong_products(wanted: MenuDocument, menu: _Menu) -> Iterator[tuple[Loc, str]]:
    slugs = menu.categories.keys() | {row.slug for row in wanted.categories}
    keys = {row.key or row.name for row in wanted.modifier_groups}
    for place, row in enumerate(wanted.products):
        loc = ("products", place)
        yield from _repeated_in((*loc, "categories"), [each.slug for each in row.categories])
        yield from _repeated_in((*loc, "sizes"), [each.name for each in row.sizes])
        yield from _repeated_in((*loc, "modifier_groups"), [each.group for each in row.modifier_groups])
        yield from _repeated_in((*loc, "ingredients"), [_folded(each) for each in row.ingredients])
        for nth, each in enumerate(row.categories):
            if each.slug not in slugs:
                yield (*loc, "categories", nth, "slug"), "no category has this slug"
        for nth, link in enumerate(row.modifier_groups):
            if link.group not in keys and len(menu.named(link.group)) != 1:
                yield (*loc, "modifier_groups", nth, "group"), "no group, or more than one, has this key or name"


def _ingredients_of(wanted: MenuDocument) -> Iterator[tuple[Loc, str]]:
    """Give every ingredient that a product or an option names, with its place."""
    for place, row in enumerate(wanted.products):
        for nth, name in enumerate(row.ingredients):
            yield ("products", place, "ingredients", nth), name
    for place, group in enumerate(wanted.modifier_groups):
        for number, option in enumerate(group.options):
            for nth, name in enumerate(option.ingredients):
                yield ("modifier_groups", place, "options", number, "ingredients", nth), name


def _repeated(rows: str, name: str, keys: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    for place, key in enumerate(keys):
        if key in keys[:place]:
            yield (rows, place, name), "another row of this document has it"


def _repeated_in(loc: Loc, keys: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    yield from (((*loc, place), "stands here twice") for place, key in enumerate(keys) if key in keys[:place])


def _wrong_groups(wanted: MenuDocument, menu: _Menu) -> Iterator[tuple[Loc, str]]:
    matched: set[UUID] = set()
    for place, row in enumerate(wanted.modifier_groups):
        loc = ("modifier_groups", place)
        yield from _repeated_in((*loc, "options"), [each.name for each in row.options])
        for number, option in enumerate(row.options):
            yield from _repeated_in((*loc, "options", number, "ingredients"), list(map(_folded, option.ingredients)))
        if row.id not in menu.groups and len(menu.named(row.name)) > 1:
            yield (*loc, "name"), "several groups have this name: send the id of one"
        present = menu.match(row)
        if present is not None and present.id in matched:
            yield loc, "another row of this document means the same group"
        matched |= {present.id} if present else set()
        parts = _merged(row.options, present.options if present else [])
        rules = [OptionRule(each.max_quantity, each.is_default, each.is_active) for each, _ in parts]
        try:
            domain.check_group(row.name, min_choices=row.min_choices, max_choices=row.max_choices, options=rules)
        except InvalidModifierGroupError as error:
            yield loc, error.detail


def _wrong_parents(wanted: MenuDocument, menu: _Menu) -> Iterator[tuple[Loc, str]]:
    parents = _parents(wanted, menu)
    for place, row in enumerate(wanted.categories):
        loc = ("categories", place, "parent")
        if row.parent is not None and row.parent not in parents:
            yield loc, "no category has this slug"
        elif _depth(row.slug, parents) is None:
            yield loc, "it would stand under itself"


def _parents(wanted: MenuDocument, menu: _Menu) -> dict[str, str | None]:
    """Tell of every category, by slug, what it stands under once the document is imported."""
    slugs = {category.id: category.slug for category in menu.categories.values()}
    present = {each.slug: slugs[each.parent_id] if each.parent_id else None for each in menu.categories.values()}
    return present | {row.slug: row.parent for row in wanted.categories}


def _depth(slug: str, parents: Mapping[str, str | None]) -> int | None:
    """Count the categories above one; None where they form a circle."""
    above, depth = parents.get(slug), 0
    while above is not None:
        depth += 1
        if depth > len(parents):
            return None
        above = parents.get(above)
    return depth


def _merged(rows: Sequence[Any], present: Sequence[PartT]) -> list[tuple[Any, UUID | None]]:
    """Match rows with the parts that are there, by id, else by name; those that no row means come last."""
    by_id, by_name = {part.id: part for part in present}, {part.name: part for part in present}
    named = {row.id for row in rows}
    merged: list[tuple[Any, UUID | None]] = []
    for row in rows:
        part = by_id.get(row.id) or by_name.get(row.name)
        is_free = part is not None and (part.id == row.id or part.id not in named)
        merged.append((row, part.id if part is not None and is_free else None))
    kept = {id_ for _, id_ in merged}
    return merged + [(part, part.id) for part in present if part.id not in kept]


@dataclass(frozen=True, slots=True)
class _Ids:
    """Ids by what the document calls things."""

    ingredients: Mapping[str, UUID]
    groups: Mapping[str, UUID]
    categories: Mapping[str, UUID]


async def _import_ingredients(
    session: AsyncSession, wanted: MenuDocument, menu: _Menu, imported: Imported
) -> dict[str, UUID]:
    ids = {key: ingredient.id for key, ingredient in menu.ingredients.items()}
    for place, row in enumerate(wanted.ingredients):
        present = menu.ingredients.get(_folded(row.name))
        fields = None if present is None else ["name"] if present.name != row.name else []
        if present is None:
            ids[_folded(row.name)] = (await create_ingredient(session, wanted=IngredientIn(name=row.name))).id
        elif fields:
            await edit_ingredient(session, ingredient_id=present.id, wanted=IngredientPatch(name=row.name))
        imported.note(("ingredients", place), row.name, fields)
    return ids


async def _import_groups(
    session: AsyncSession,
    wanted: MenuDocument,
    menu: _Menu,
    imported: Imported,
    *,
    ingredients: Mapping[str, UUID],
    now: datetime,
) -> dict[str, UUID]:
    ids = {group.name: group.id for group in menu.groups.values()}
    for place, row in enumerate(wanted.modifier_groups):
        loc, present = ("modifier_groups", place), menu.match(row)
        parts = _merged(row.options, present.options if present else [])
        options = [_option(part, id_, ingredients) for part, id_ in parts]
        values = _columns(row, _GROUP) | {"options": options}
        group_id, fields = present.id if present else None, None
        with _at(loc):
            if present is None:
                new = _validated(ModifierGroupIn, values)
                group_id = (await create_modifier_group(session, wanted=new, now=now)).id
            else:
                there = [_option(option, option.id, ingredients) for option in present.options]
                fields = _differing(values, _columns(present, _GROUP) | {"options": there})
                if fields:
                    patch = _validated(ModifierGroupPatch, values)
                    await edit_modifier_group(session, group_id=present.id, wanted=patch, now=now)
        assert group_id is not None
        ids[row.key or row.name] = group_id
        imported.note(loc, row.key or row.name, fields)
    return ids


def _option(part: MenuOption | Option, id_: UUID | None, ingredients: Mapping[str, UUID]) -> dict[str, Any]:
    if isinstance(part, Option):
        contained = [link.ingredient_id for link in part.ingredients]
    else:
        contained = [ingredients[_folded(name)] for name in part.ingredients]
    return {"id": id_, "ingredient_ids": contained} | _columns(part, _OPTION)


async def _import_categories(
    session: AsyncSession, wanted: MenuDocument, menu: _Menu, imported: Imported, *, now: datetime
) -> dict[str, UUID]:
    """Those on top first: what one is put under stands in its place already."""
    ids = {slug: category.id for slug, category in menu.categories.items()}
    parents = _parents(wanted, menu)
    rows = sorted(enumerate(wanted.categories), key=lambda row: _depth(row[1].slug, parents) or 0)
    for place, row in rows:
        present = menu.categories.get(row.slug)
        values = _columns(row, _CATEGORY) | {"parent_id": ids[row.parent] if row.parent else None}
        fields = None if present is None else _differing(values, _columns(present, [*_CATEGORY, "parent_id"]))
        if present is None:
            new = CategoryIn.model_validate(values | {"slug": row.slug})
            ids[row.slug] = (await create_category(session, wanted=new, now=now)).id
        elif fields:
            patch = CategoryPatch.model_validate({name: values[name] for name in fields})
            await edit_category(session, category_id=present.id, wanted=patch, now=now)
        imported.note(("categories", place), row.slug, fields)
    return ids


async def _import_product(
    session: AsyncSession, row: MenuProduct, present: Product | None, *, ids: _Ids, now: datetime
) -> Sequence[str] | None:
    """Add or change one product; give the fields that changed, None for a new one."""
    places = {ids.categories[each.slug]: each.position for each in row.categories}
    values = _columns(row, _PRODUCT) | {
        "nutrition": row.nutrition.model_dump() if row.nutrition else None,
        "sizes": _sizes(row, present),
        "modifier_groups": [
            {"group_id": ids.groups[each.group], "min_choices": each.min_choices, "max_choices": each.max_choices}
            for each in row.modifier_groups
        ],
        "ingredient_ids": [ids.ingredients[_folded(name)] for name in row.ingredients],
    }
    fields = None if present is None else _differing(values | {"categories": places}, _present(present))
    product_id = present.id if present else None
    if present is None:
        new = _validated(ProductIn, values | {"category_ids": [*places]})
        product_id = (await create_product(session, wanted=new, now=now)).id
    elif fields:
        patch = _validated(ProductPatch, values | {"category_ids": [*places]})
        await edit_product(session, product_id=present.id, wanted=patch, now=now)
    if fields is None or "categories" in fields:
        for category_id, position in places.items():
            await session.execute(
                update(ProductCategory)
                .where(ProductCategory.product_id == product_id, ProductCategory.category_id == category_id)
                .values(position=position)
            )
    return fields


def _sizes(row: MenuProduct, present: Product | None) -> list[dict[str, Any]]:
    """Give the product's sizes: those of the document, then those that it doesn't name."""
    parts = _merged(row.sizes, present.sizes if present else [])
    sizes = [{"id": id_} | _columns(part, _SIZE) for part, id_ in parts]
    default = domain.default_size([size["is_default"] for size in sizes])
    return [size | {"is_default": place == default} for place, size in enumerate(sizes)]


def _present(product: Product) -> dict[str, Any]:
    """Give what is there of a product, in the form of what is wanted."""
    nutrition = product.nutrition
    return _columns(product, _PRODUCT) | {
        "nutrition": None if nutrition is None else {"caffeine_mg": None} | nutrition,
        "categories": {link.category_id: link.position for link in product.categories},
        "sizes": [{"id": size.id} | _columns(size, _SIZE) for size in product.sizes],
        "modifier_groups": [
            _columns(link, ["group_id", "min_choices", "max_choices"]) for link in product.modifier_groups
        ],
        "ingredient_ids": [link.ingredient_id for link in product.ingredients],
    }


def _differing(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    return [name for name in wanted if wanted[name] != present[name]]


def _validated(model: type[InputT], values: Mapping[str, Any]) -> InputT:
    return model.model_validate(values)


@contextmanager
def _at(loc: Loc) -> Iterator[None]:
    """Say at which row it was refused."""
    try:
        yield
    except ValidationError as error:
        raise InvalidMenuError([((*loc, *each["loc"]), each["msg"]) for each in error.errors()]) from None
    except InvalidModifierGroupError as error:
        raise InvalidMenuError([(loc, error.detail)]) from None
