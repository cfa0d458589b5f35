"""Exporting the whole menu as one document."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.menu import queries
from crema.menu.models import (
    Category,
    Ingredient,
    ModifierGroup,
    Option,
    Product,
    Size,
)
from crema.menu.schemas import (
    MenuCategory,
    MenuDocument,
    MenuGroup,
    MenuGroupLink,
    MenuIngredient,
    MenuOption,
    MenuPlace,
    MenuProduct,
    NutritionIn,
    SizeIn,
    SizeNutritionIn,
    SizePriceIn,
    WindowIn,
)

CATEGORY_COLUMNS: Final = ("name", "description", "position", "is_active")
GROUP_COLUMNS: Final = ("name", "min_choices", "max_choices", "free_quantity")
OPTION_COLUMNS: Final = ("name", "price_delta", "max_quantity", "is_default", "is_active", "allergens")
LINK_COLUMNS: Final = ("min_choices", "max_choices", "free_quantity")
SIZE_COLUMNS: Final = ("name", "volume_ml", "price_delta", "is_default", "nutrition")
PRODUCT_COLUMNS: Final = (
    *("name", "slug", "description", "price", "is_active", "position"),
    *("allergens", "allergens_always", "preparation_seconds"),
)


@dataclass(slots=True)
class CurrentMenu:
    """The menu in the database, by the keys that a document uses."""

    categories: dict[str, Category]
    ingredients: dict[str, Ingredient]
    groups: dict[UUID, ModifierGroup]
    products: dict[str, Product]

    @classmethod
    async def load(cls, session: AsyncSession) -> "CurrentMenu":
        """Return the menu as it is now."""
        categories = await session.scalars(select(Category).order_by(Category.position, Category.slug))
        ingredients = await session.scalars(select(Ingredient).order_by(Ingredient.name, Ingredient.id))
        groups = await queries.load_all_modifier_groups(session)
        products = await queries.load_all_products(session)
        return cls(
            {category.slug: category for category in categories},
            {fold_name(ingredient.name): ingredient for ingredient in ingredients},
            {group.id: group for group in groups},
            {product.slug: product for product in products},
        )

    def groups_named(self, name: str) -> list[ModifierGroup]:
        """Return the groups with this name."""
        return [group for group in self.groups.values() if group.name == name]

    def match(self, group: MenuGroup) -> ModifierGroup | None:
        """Return the group that a row of a document refers to, by its id or else by its name; None for a new one."""
        if group.id in self.groups:
            return self.groups[group.id]
        return next(iter(self.groups_named(group.name)), None)


def fold_name(name: str) -> str:
    """Return a name as the unique index of ingredients compares it."""
    return name.lower().replace("ё", "е")


async def export_menu(session: AsyncSession) -> MenuDocument:
    """Return the menu as a document. If `import_menu` gets it back, nothing changes."""
    menu = await CurrentMenu.load(session)
    slugs = {category.id: category.slug for category in menu.categories.values()}
    counts = Counter(group.name for group in menu.groups.values())
    keys = {group.id: group.name if counts[group.name] == 1 else str(group.id) for group in menu.groups.values()}
    # Nothing is validated: stored values are exported even if today's limits are stricter.
    return MenuDocument.model_construct(
        categories=[
            MenuCategory.model_construct(
                slug=each.slug,
                parent=slugs[each.parent_id] if each.parent_id else None,
                schedule=_windows(each.schedule),
                **column_values(each, CATEGORY_COLUMNS),
            )
            for each in menu.categories.values()
        ],
        ingredients=[MenuIngredient.model_construct(name=each.name) for each in menu.ingredients.values()],
        modifier_groups=[
            MenuGroup.model_construct(
                id=each.id,
                key=keys[each.id],
                options=[_option_row(option) for option in each.options],
                **column_values(each, GROUP_COLUMNS),
            )
            for each in menu.groups.values()
        ],
        products=[_product_row(each, slugs=slugs, keys=keys) for each in menu.products.values()],
    )


def column_values(row: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return these attributes of a row by name."""
    return {name: getattr(row, name) for name in names}


def _option_row(option: Option) -> MenuOption:
    ingredients = [link.ingredient.name for link in option.ingredients]
    return MenuOption.model_construct(
        id=option.id,
        size_prices=[SizePriceIn.model_validate(each) for each in option.size_prices],
        nutrition=_nutrition_row(option.nutrition),
        size_nutrition=[
            SizeNutritionIn.model_construct(
                size_name=each["size_name"], nutrition=NutritionIn.model_construct(**each["nutrition"])
            )
            for each in option.size_nutrition
        ],
        ingredients=ingredients,
        **column_values(option, OPTION_COLUMNS),
    )


def _size_row(size: Size) -> SizeIn:
    values = column_values(size, SIZE_COLUMNS) | {"nutrition": _nutrition_row(size.nutrition)}
    return SizeIn.model_construct(id=size.id, **values)


def _nutrition_row(nutrition: dict[str, Any] | None) -> NutritionIn | None:
    return NutritionIn.model_construct(**nutrition) if nutrition else None


def _windows(schedule: Sequence[Mapping[str, Any]]) -> list[WindowIn]:
    return [WindowIn.model_validate(each) for each in schedule]


def _product_row(product: Product, *, slugs: Mapping[UUID, str], keys: Mapping[UUID, str]) -> MenuProduct:
    places = [
        MenuPlace.model_construct(slug=slugs[link.category_id], position=link.position) for link in product.categories
    ]
    return MenuProduct.model_construct(
        **column_values(product, PRODUCT_COLUMNS),
        nutrition=_nutrition_row(product.nutrition),
        schedule=_windows(product.schedule),
        categories=sorted(places, key=lambda place: place.slug),
        sizes=[_size_row(size) for size in product.sizes],
        modifier_groups=[
            MenuGroupLink.model_construct(group=keys[link.group_id], **column_values(link, LINK_COLUMNS))
            for link in product.modifier_groups
        ],
        ingredients=[link.ingredient.name for link in product.ingredients],
    )
