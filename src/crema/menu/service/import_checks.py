"""Checks of a menu that is to be imported, and how its rows are matched with the menu in the database."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from crema.core.errors import InvalidError, Loc
from crema.menu import domain
from crema.menu.domain import ContradictoryNutritionError, InvalidModifierGroupError, OptionRule
from crema.menu.models import (
    Option,
    Product,
    Size,
)
from crema.menu.schemas import MenuDocument, MenuProduct
from crema.menu.service.exporting import CurrentMenu, fold_name
from crema.menu.service.integrity import nutrition_values

_MAX_ERRORS: Final = 50

PartT = TypeVar("PartT", Option, Size)


class InvalidMenuError(InvalidError):
    """Rows of the document contradict each other or the menu. `errors` names each by its location.

    For a workbook: everything that is wrong with its sheets and cells, by sheet, row and column.
    """

    code = "invalid_menu"
    title = "This menu can't be imported."
    advice = "Correct what `errors` names."

    def __init__(self, problems: Sequence[tuple[Loc, str]]) -> None:
        self.problems = problems
        errors = [
            {"loc": ["body", *loc], "msg": message, "type": "invalid_menu"} for loc, message in problems[:_MAX_ERRORS]
        ]
        super().__init__(
            "; ".join(f"{'.'.join(map(str, loc))}: {message}" for loc, message in problems[:5]), errors=errors
        )


def find_problems(document: MenuDocument, menu: CurrentMenu) -> Iterator[tuple[Loc, str]]:
    """Yield the location and the description of everything that contradicts itself or refers to nothing."""
    yield from _repeated("categories", "slug", [row.slug for row in document.categories])
    yield from _repeated("products", "slug", [row.slug for row in document.products])
    yield from _repeated("ingredients", "name", [fold_name(row.name) for row in document.ingredients])
    yield from _repeated("modifier_groups", "key", [row.key or row.name for row in document.modifier_groups])
    yield from _wrong_groups(document, menu)
    yield from _wrong_parents(document, menu)
    yield from _wrong_products(document, menu)
    known = menu.ingredients.keys() | {fold_name(row.name) for row in document.ingredients}
    for loc, name in _ingredients_of(document):
        if fold_name(name) not in known:
            yield loc, "no ingredient has this name"


def _wrong_products(document: MenuDocument, menu: CurrentMenu) -> Iterator[tuple[Loc, str]]:
    slugs = menu.categories.keys() | {row.slug for row in document.categories}
    keys = {row.key or row.name for row in document.modifier_groups}
    names = Counter(group.name for group in menu.groups.values())
    for place, row in enumerate(document.products):
        loc = ("products", place)
        yield from _repeated_in((*loc, "categories"), [each.slug for each in row.categories])
        yield from _repeated_in((*loc, "sizes"), [each.name for each in row.sizes])
        yield from _repeated_in((*loc, "modifier_groups"), [each.group for each in row.modifier_groups])
        yield from _repeated_in((*loc, "ingredients"), [fold_name(each) for each in row.ingredients])
        for nth, each in enumerate(row.categories):
            if each.slug not in slugs:
                yield (*loc, "categories", nth, "slug"), "no category has this slug"
        for nth, link in enumerate(row.modifier_groups):
            if link.group not in keys and names[link.group] != 1:
                yield (*loc, "modifier_groups", nth, "group"), "no group, or more than one, has this key or name"
        yield from _contradictory_nutrition(loc, row, menu.products.get(row.slug))


def _contradictory_nutrition(loc: Loc, row: MenuProduct, present: Product | None) -> Iterator[tuple[Loc, str]]:
    """Yield a problem if the nutrition of a product and of its default size differ, as the import would make them."""
    sizes = [size for size, _ in merged_parts(row.sizes, present.sizes if present else [])]
    place = domain.default_size([size.is_default for size in sizes])
    if place is None:
        return
    size = sizes[place]
    try:
        domain.check_nutrition(
            of_product=nutrition_values(row.nutrition), size=size.name, of_size=nutrition_values(size.nutrition)
        )
    except ContradictoryNutritionError as error:
        yield (*loc, "sizes", place) if place < len(row.sizes) else loc, error.detail


def _ingredients_of(document: MenuDocument) -> Iterator[tuple[Loc, str]]:
    """Yield the location and name of every ingredient that a product or an option refers to."""
    for place, row in enumerate(document.products):
        for nth, name in enumerate(row.ingredients):
            yield ("products", place, "ingredients", nth), name
    for place, group in enumerate(document.modifier_groups):
        for number, option in enumerate(group.options):
            for nth, name in enumerate(option.ingredients):
                yield ("modifier_groups", place, "options", number, "ingredients", nth), name


def _repeated(rows: str, name: str, keys: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    for (*loc, place), _ in _repeated_in((rows,), keys):
        yield (*loc, place, name), "another row of this document has it"


def _repeated_in(loc: Loc, keys: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    seen: set[str] = set()
    for place, key in enumerate(keys):
        if key in seen:
            yield (*loc, place), "is here twice"
        seen.add(key)


def _wrong_groups(document: MenuDocument, menu: CurrentMenu) -> Iterator[tuple[Loc, str]]:
    matched: set[UUID] = set()
    for place, row in enumerate(document.modifier_groups):
        loc = ("modifier_groups", place)
        yield from _repeated_in((*loc, "options"), [each.name for each in row.options])
        for number, option in enumerate(row.options):
            yield from _repeated_in((*loc, "options", number, "ingredients"), list(map(fold_name, option.ingredients)))
        if row.id not in menu.groups and len(menu.groups_named(row.name)) > 1:
            yield (*loc, "name"), "several groups have this name: send the id of one"
        present = menu.match(row)
        if present is not None and present.id in matched:
            yield loc, "another row of this document refers to the same group"
        matched |= {present.id} if present else set()
        parts = merged_parts(row.options, present.options if present else [])
        rules = [OptionRule(each.max_quantity, each.is_default, each.is_active) for each, _ in parts]
        try:
            domain.check_group(row.name, min_choices=row.min_choices, max_choices=row.max_choices, options=rules)
        except InvalidModifierGroupError as error:
            yield loc, error.detail


def _wrong_parents(document: MenuDocument, menu: CurrentMenu) -> Iterator[tuple[Loc, str]]:
    parents = parents_of(document, menu)
    for place, row in enumerate(document.categories):
        loc = ("categories", place, "parent")
        if row.parent is not None and row.parent not in parents:
            yield loc, "no category has this slug"
        elif depth_of(row.slug, parents) is None:
            yield loc, "the category would be under itself"


def parents_of(document: MenuDocument, menu: CurrentMenu) -> dict[str, str | None]:
    """Return the parent of every category after the import, by slugs."""
    slugs = {category.id: category.slug for category in menu.categories.values()}
    present = {each.slug: slugs[each.parent_id] if each.parent_id else None for each in menu.categories.values()}
    return present | {row.slug: row.parent for row in document.categories}


def depth_of(slug: str, parents: Mapping[str, str | None]) -> int | None:
    """Return the number of categories above one; None if they form a cycle."""
    above, depth = parents.get(slug), 0
    while above is not None:
        depth += 1
        if depth > len(parents):
            return None
        above = parents.get(above)
    return depth


def merged_parts(rows: Sequence[Any], present: Sequence[PartT]) -> list[tuple[Any, UUID | None]]:
    """Return rows with the ids of the stored parts that they match, by id or else by name; None for a new part.

    Stored parts that no row matches come last, as they are.
    """
    by_id, by_name = {part.id: part for part in present}, {part.name: part for part in present}
    named = {row.id for row in rows}
    merged: list[tuple[Any, UUID | None]] = []
    for row in rows:
        part = by_id.get(row.id) or by_name.get(row.name)
        is_free = part is not None and (part.id == row.id or part.id not in named)
        merged.append((row, part.id if part is not None and is_free else None))
    kept = {id_ for _, id_ in merged}
    return merged + [(part, part.id) for part in present if part.id not in kept]
