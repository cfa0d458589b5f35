"""The whole menu, written of the tables as one document."""

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

CATEGORY: Final = ("name", "description", "position", "is_active")
GROUP: Final = ("name", "min_choices", "max_choices", "free_quantity")
OPTION: Final = ("name", "price_delta", "max_quantity", "is_default", "is_active", "allergens")
LINK: Final = ("min_choices", "max_choices", "free_quantity")
SIZE: Final = ("name", "volume_ml", "price_delta", "is_default", "nutrition")
PRODUCT: Final = (
    *("name", "slug", "description", "price", "is_active", "position"),
    *("allergens", "allergens_always", "preparation_seconds"),
)


@dataclass(slots=True)
class PresentMenu:
    """What is there, by what a document calls it."""

    categories: dict[str, Category]
    ingredients: dict[str, Ingredient]
    groups: dict[UUID, ModifierGroup]
    products: dict[str, Product]

    @classmethod
    async def load(cls, session: AsyncSession) -> "PresentMenu":
        categories = await session.scalars(select(Category).order_by(Category.position, Category.slug))
        ingredients = await session.scalars(select(Ingredient).order_by(Ingredient.name, Ingredient.id))
        groups = await queries.load_all_modifier_groups(session)
        products = await queries.load_all_products(session)
        return cls(
            {category.slug: category for category in categories},
            {folded(ingredient.name): ingredient for ingredient in ingredients},
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


def folded(name: str) -> str:
    """Fold a name as the unique index of ingredients does."""
    return name.lower().replace("ё", "е")


async def export_menu(session: AsyncSession) -> MenuDocument:
    """Write the menu as a document that `import_menu` takes and that changes nothing."""
    menu = await PresentMenu.load(session)
    slugs = {category.id: category.slug for category in menu.categories.values()}
    counts = Counter(group.name for group in menu.groups.values())
    keys = {group.id: group.name if counts[group.name] == 1 else str(group.id) for group in menu.groups.values()}
    # Nothing is validated: what is there is exported, even where today's limits are stricter.
    return MenuDocument.model_construct(
        categories=[
            MenuCategory.model_construct(
                slug=each.slug,
                parent=slugs[each.parent_id] if each.parent_id else None,
                schedule=_windows(each.schedule),
                **columns(each, CATEGORY),
            )
            for each in menu.categories.values()
        ],
        ingredients=[MenuIngredient.model_construct(name=each.name) for each in menu.ingredients.values()],
        modifier_groups=[
            MenuGroup.model_construct(
                id=each.id,
                key=keys[each.id],
                options=[_option_row(option) for option in each.options],
                **columns(each, GROUP),
            )
            for each in menu.groups.values()
        ],
        products=[_product_row(each, slugs=slugs, keys=keys) for each in menu.products.values()],
    )


def columns(row: Any, names: Iterable[str]) -> dict[str, Any]:
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
        **columns(option, OPTION),
    )


def _size_row(size: Size) -> SizeIn:
    values = columns(size, SIZE) | {"nutrition": _nutrition_row(size.nutrition)}
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
        **columns(product, PRODUCT),
        nutrition=_nutrition_row(product.nutrition),
        schedule=_windows(product.schedule),
        categories=sorted(places, key=lambda place: place.slug),
        sizes=[_size_row(size) for size in product.sizes],
        modifier_groups=[
            MenuGroupLink.model_construct(group=keys[link.group_id], **columns(link, LINK))
            for link in product.modifier_groups
        ],
        ingredients=[link.ingredient.name for link in product.ingredients],
    )
