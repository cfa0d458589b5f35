"""What is wrong with a menu that is to be imported, and which of its rows mean what is there."""

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
from crema.menu.service.exporting import PresentMenu, folded
from crema.menu.service.integrity import nutrition_values

_MAX_ERRORS: Final = 50

PartT = TypeVar("PartT", Option, Size)


class InvalidMenuError(InvalidError):
    """Rows of the document contradict each other or the menu. `errors` names each by its place.

    Of a workbook, whatever is wrong with its sheets and cells, by sheet, row and column.
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


def problems_of(wanted: MenuDocument, menu: PresentMenu) -> Iterator[tuple[Loc, str]]:
    """Find all that contradicts itself or names what isn't there."""
    yield from _repeated("categories", "slug", [row.slug for row in wanted.categories])
    yield from _repeated("products", "slug", [row.slug for row in wanted.products])
    yield from _repeated("ingredients", "name", [folded(row.name) for row in wanted.ingredients])
    yield from _repeated("modifier_groups", "key", [row.key or row.name for row in wanted.modifier_groups])
    yield from _wrong_groups(wanted, menu)
    yield from _wrong_parents(wanted, menu)
    yield from _wrong_products(wanted, menu)
    known = menu.ingredients.keys() | {folded(row.name) for row in wanted.ingredients}
    for loc, name in _ingredients_of(wanted):
        if folded(name) not in known:
            yield loc, "no ingredient has this name"


def _wrong_products(wanted: MenuDocument, menu: PresentMenu) -> Iterator[tuple[Loc, str]]:
    slugs = menu.categories.keys() | {row.slug for row in wanted.categories}
    keys = {row.key or row.name for row in wanted.modifier_groups}
    names = Counter(group.name for group in menu.groups.values())
    for place, row in enumerate(wanted.products):
        loc = ("products", place)
        yield from _repeated_in((*loc, "categories"), [each.slug for each in row.categories])
        yield from _repeated_in((*loc, "sizes"), [each.name for each in row.sizes])
        yield from _repeated_in((*loc, "modifier_groups"), [each.group for each in row.modifier_groups])
        yield from _repeated_in((*loc, "ingredients"), [folded(each) for each in row.ingredients])
        for nth, each in enumerate(row.categories):
            if each.slug not in slugs:
                yield (*loc, "categories", nth, "slug"), "no category has this slug"
        for nth, link in enumerate(row.modifier_groups):
            if link.group not in keys and names[link.group] != 1:
                yield (*loc, "modifier_groups", nth, "group"), "no group, or more than one, has this key or name"
        yield from _contradictory_nutrition(loc, row, menu.products.get(row.slug))


def _contradictory_nutrition(loc: Loc, row: MenuProduct, present: Product | None) -> Iterator[tuple[Loc, str]]:
    """Compare the product's figures with its default size's, which is told by its row if the document has it."""
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
    for (*loc, place), _ in _repeated_in((rows,), keys):
        yield (*loc, place, name), "another row of this document has it"


def _repeated_in(loc: Loc, keys: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    seen: set[str] = set()
    for place, key in enumerate(keys):
        if key in seen:
            yield (*loc, place), "stands here twice"
        seen.add(key)


def _wrong_groups(wanted: MenuDocument, menu: PresentMenu) -> Iterator[tuple[Loc, str]]:
    matched: set[UUID] = set()
    for place, row in enumerate(wanted.modifier_groups):
        loc = ("modifier_groups", place)
        yield from _repeated_in((*loc, "options"), [each.name for each in row.options])
        for number, option in enumerate(row.options):
            yield from _repeated_in((*loc, "options", number, "ingredients"), list(map(folded, option.ingredients)))
        if row.id not in menu.groups and len(menu.named(row.name)) > 1:
            yield (*loc, "name"), "several groups have this name: send the id of one"
        present = menu.match(row)
        if present is not None and present.id in matched:
            yield loc, "another row of this document means the same group"
        matched |= {present.id} if present else set()
        parts = merged_parts(row.options, present.options if present else [])
        rules = [OptionRule(each.max_quantity, each.is_default, each.is_active) for each, _ in parts]
        try:
            domain.check_group(row.name, min_choices=row.min_choices, max_choices=row.max_choices, options=rules)
        except InvalidModifierGroupError as error:
            yield loc, error.detail


def _wrong_parents(wanted: MenuDocument, menu: PresentMenu) -> Iterator[tuple[Loc, str]]:
    parents = parents_of(wanted, menu)
    for place, row in enumerate(wanted.categories):
        loc = ("categories", place, "parent")
        if row.parent is not None and row.parent not in parents:
            yield loc, "no category has this slug"
        elif depth_of(row.slug, parents) is None:
            yield loc, "it would stand under itself"


def parents_of(wanted: MenuDocument, menu: PresentMenu) -> dict[str, str | None]:
    """Tell of every category, by slug, what it stands under once the document is imported."""
    slugs = {category.id: category.slug for category in menu.categories.values()}
    present = {each.slug: slugs[each.parent_id] if each.parent_id else None for each in menu.categories.values()}
    return present | {row.slug: row.parent for row in wanted.categories}


def depth_of(slug: str, parents: Mapping[str, str | None]) -> int | None:
    """Count the categories above one; None where they form a circle."""
    above, depth = parents.get(slug), 0
    while above is not None:
        depth += 1
        if depth > len(parents):
            return None
        above = parents.get(above)
    return depth


def merged_parts(rows: Sequence[Any], present: Sequence[PartT]) -> list[tuple[Any, UUID | None]]:
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
