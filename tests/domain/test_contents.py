"""What a product contains as it was configured, and which allergens some choice of options avoids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product as combinations
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.menu.domain import (
    Contained,
    Nutrition,
    PricedGroup,
    PricedOption,
    PricedProduct,
    PricedSize,
    SizeNutrition,
    avoidable_allergens,
    contents_of,
)

NUTRITION: Final = Nutrition(150, 8, 7.5, 12)
COFFEE, MILK, OATS, VANILLA = (Contained(uuid4(), name) for name in ("Эспрессо", "Молоко", "Овёс", "Ваниль"))


def option(
    name: str,
    *allergens: str,
    of: tuple[Contained, ...] = (),
    is_default: bool = False,
    is_active: bool = True,
    adds: Nutrition | None = None,
    adds_in: Mapping[str, Nutrition] = MappingProxyType({}),
) -> PricedOption:
    by_size = tuple(SizeNutrition(name, nutrition) for name, nutrition in adds_in.items())
    return PricedOption(
        uuid4(), name, Decimal(0), 1, is_default, is_active, allergens, of, nutrition=adds, size_nutrition=by_size
    )


def group(*options: PricedOption, least: int = 0) -> PricedGroup:
    return PricedGroup(uuid4(), "Молоко", least, 2, 0, options)


def drink(
    *groups: PricedGroup,
    allergens: tuple[str, ...] = ("milk",),
    always: tuple[str, ...] | None = (),
    nutrition: Nutrition | None = NUTRITION,
) -> PricedProduct:
    return PricedProduct(
        id=uuid4(),
        name="Латте",
        price=Decimal(250),
        is_on_menu=True,
        preparation_seconds=90,
        sizes=(),
        modifier_groups=groups,
        allergens=allergens,
        allergens_always=always,
        ingredients=(COFFEE, MILK),
        nutrition=nutrition,
    )


COW: Final = option("Коровье", "milk", of=(MILK,), is_default=True)
OAT: Final = option("Овсяное", "gluten", of=(OATS,))
SYRUP: Final = option("Ваниль", of=(VANILLA,))
SIZE: Final = PricedSize(uuid4(), "L", 450, Decimal(90), is_default=False)


def test_by_default_it_is_as_the_menu_describes_it() -> None:
    made = contents_of(drink(group(COW, OAT, least=1)), size=None, quantities={COW.id: 1})

    assert (made.allergens, made.ingredients, made.nutrition) == (("milk",), (COFFEE, MILK), NUTRITION)


def test_oat_instead_of_cow_s_milk_has_gluten_and_no_milk() -> None:
    made = contents_of(drink(group(COW, OAT, least=1)), size=None, quantities={OAT.id: 1})

    assert (made.allergens, made.ingredients, made.nutrition) == (("gluten",), (COFFEE, OATS), None)


def test_an_allergen_is_never_left_out_on_a_guess() -> None:
    """Raf has cream, too: without a word from the menu nobody knows whether oat milk makes it free of milk."""
    unsaid = contents_of(drink(group(COW, OAT), always=None), size=None, quantities={OAT.id: 1})
    cream = contents_of(drink(group(COW, OAT), always=("milk",)), size=None, quantities={OAT.id: 1})

    assert unsaid.allergens == cream.allergens == ("gluten", "milk")


def test_an_option_that_is_added_adds_and_takes_nothing_away() -> None:
    made = contents_of(drink(group(COW, OAT), group(SYRUP)), size=None, quantities={COW.id: 1, SYRUP.id: 1})

    assert (made.allergens, made.ingredients, made.nutrition) == (("milk",), (COFFEE, MILK, VANILLA), None)


def test_nutrition_of_another_size_or_quantity_is_unknown_where_the_menu_does_not_say() -> None:
    latte = drink(group(COW, OAT))

    assert contents_of(latte, size=SIZE, quantities={COW.id: 1}).nutrition is None
    assert contents_of(latte, size=None, quantities={COW.id: 2}).nutrition is None


SMALL: Final = PricedSize(uuid4(), "S", 250, Decimal(0), is_default=True)
LARGE: Final = replace(SIZE, nutrition=Nutrition(300, 16, 15, 24, 65))
COW_MILK: Final = option(
    "Коровье", is_default=True, adds=Nutrition(96, 4.8, 5.1, 7.5, 0), adds_in={"L": Nutrition(186, 9.3, 9.9, 14.6, 0)}
)
OAT_MILK: Final = option(
    "Овсяное", adds=Nutrition(94, 1.6, 4.8, 10.6, 0), adds_in={"L": Nutrition(183, 3.1, 9.3, 20.5, 0)}
)
PUMP: Final = option("Ваниль", adds=Nutrition(31, 0, 0, 7.7, 0))
LATTE: Final = drink(group(COW_MILK, OAT_MILK), group(PUMP), nutrition=Nutrition(101, 5, 5.2, 8.3, 65))


def nutrition(product: PricedProduct, size: PricedSize | None, quantities: Mapping[PricedOption, int]) -> Any:
    made = contents_of(product, size=size, quantities={option.id: n for option, n in quantities.items()})
    return made.nutrition


def test_oat_instead_of_cow_s_milk_is_the_drink_less_the_one_and_with_the_other() -> None:
    assert nutrition(LATTE, SMALL, {OAT_MILK: 1}) == Nutrition(99, 1.8, 4.9, 11.4, 65)


def test_a_larger_size_takes_more_of_both_milks() -> None:
    assert nutrition(LATTE, LARGE, {COW_MILK: 1}) == LARGE.nutrition
    assert nutrition(LATTE, LARGE, {OAT_MILK: 1, PUMP: 2}) == Nutrition(359, 9.8, 14.4, 45.3, 65)


def test_no_choice_at_all_is_the_drink_less_its_defaults() -> None:
    assert nutrition(LATTE, SMALL, {}) == Nutrition(5, 0.2, 0.1, 0.8, 65)


def test_the_default_size_s_own_nutrition_counts_like_the_product_s() -> None:
    own = replace(SMALL, nutrition=LATTE.nutrition)

    assert nutrition(replace(LATTE, nutrition=None), own, {OAT_MILK: 1}) == nutrition(LATTE, SMALL, {OAT_MILK: 1})


def test_where_only_caffeine_is_unknown_only_caffeine_is_null() -> None:
    tea = option("Чай", adds=Nutrition(2, 0, 0, 0.5))

    assert nutrition(drink(group(tea), nutrition=LATTE.nutrition), SMALL, {tea: 1}) == Nutrition(103, 5, 5.2, 8.8)


def test_figures_rounded_apart_give_no_less_than_nothing() -> None:
    skimmed = drink(group(COW_MILK, OAT), nutrition=Nutrition(95.5, 4.8, 4.9, 7.5, 0))

    assert nutrition(skimmed, SMALL, {}) == Nutrition(0, 0, 0, 0, 0)


def test_figures_that_contradict_each_other_are_unknown_and_not_cut_to_nothing() -> None:
    wrong = drink(group(COW_MILK, OAT_MILK), nutrition=Nutrition(50, 4.8, 5.1, 7.5, 65))

    assert nutrition(wrong, SMALL, {}) is None
    assert nutrition(wrong, SMALL, {COW_MILK: 1}) == wrong.nutrition


FIGURES: Final = ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g", "caffeine_mg")
amounts = st.integers(0, 5000).map(lambda tenths: tenths / 10)
known = st.builds(Nutrition, *[amounts] * 4, st.none() | amounts)


@dataclass(frozen=True)
class Recipe:
    """A drink by what is put into it: the cup without options, in each size, and what a piece of each option is."""

    product: PricedProduct
    size: PricedSize
    cup: Nutrition
    pieces: Mapping[UUID, Nutrition]
    quantities: dict[UUID, int]


def summed(parts: Sequence[tuple[Nutrition, int]]) -> dict[str, Decimal | None]:
    return {
        name: None
        if any(getattr(each, name) is None for each, _ in parts)
        else sum((Decimal(str(getattr(each, name))) * n for each, n in parts), Decimal(0))
        for name in FIGURES
    }


def as_nutrition(amounts: Mapping[str, Decimal | None]) -> Nutrition:
    return Nutrition(**{name: None if amount is None else float(amount) for name, amount in amounts.items()})


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    in_large, is_large = draw(st.booleans()), draw(st.booleans())
    options = [
        option("x", is_default=draw(st.booleans()), adds=draw(known), adds_in={"L": draw(known)} if in_large else {})
        for _ in range(draw(st.integers(0, 4)))
    ]
    cups = draw(st.tuples(known, known))
    whole = [
        as_nutrition(summed([(cup, 1), *((each.nutrition_in(size), 1) for each in options if each.is_default)]))
        for cup, size in zip(cups, (SMALL, SIZE), strict=True)
    ]
    size = replace(SIZE, nutrition=whole[1]) if is_large else SMALL
    chosen = {each.id: n for each in options if (n := draw(st.integers(0, 3)))}
    pieces = {each.id: each.nutrition_in(size) for each in options}
    product = drink(group(*options), nutrition=whole[0])
    return Recipe(product, size, cups[is_large], pieces, chosen)


@given(recipes())
def test_nutrition_as_configured_is_what_was_put_into_the_cup(recipe: Recipe) -> None:
    made = contents_of(recipe.product, size=recipe.size, quantities=recipe.quantities).nutrition

    expected = summed([(recipe.cup, 1), *((recipe.pieces[id_], n) for id_, n in recipe.quantities.items())])
    assert made is not None
    for name in FIGURES:
        # Caffeine that a default option doesn't name makes the whole drink's unknown, with or without the option.
        if (found := getattr(made, name)) is not None:
            assert found == pytest.approx(float(expected[name] or 0), abs=0.01)
            assert found >= 0
    assert made.caffeine_mg is None or expected["caffeine_mg"] is not None


@given(recipes(), st.data())
def test_without_a_figure_that_is_needed_nutrition_is_unknown_and_otherwise_is_the_same(
    recipe: Recipe, data: st.DataObject
) -> None:
    (options,) = [each.options for each in recipe.product.modifier_groups]
    silent = {each.id for each in options if data.draw(st.booleans())}
    told = [replace(each, nutrition=None, size_nutrition=()) if each.id in silent else each for each in options]
    changed = {each.id for each in options if recipe.quantities.get(each.id, 0) != each.is_default}

    before = contents_of(recipe.product, size=recipe.size, quantities=recipe.quantities).nutrition
    after = contents_of(
        replace(recipe.product, modifier_groups=(group(*told),)), size=recipe.size, quantities=recipe.quantities
    ).nutrition

    assert after == (None if silent & changed else before)


@given(recipes(), st.none() | known, st.none() | known)
def test_nutrition_is_never_negative_whatever_the_menu_says(
    recipe: Recipe, of_product: Nutrition | None, of_size: Nutrition | None
) -> None:
    made = contents_of(
        replace(recipe.product, nutrition=of_product),
        size=replace(recipe.size, nutrition=of_size),
        quantities=recipe.quantities,
    ).nutrition

    assert made is None or all((getattr(made, name) or 0) >= 0 for name in FIGURES)


NAMES: Final = ("eggs", "gluten", "milk")
some = st.lists(st.sampled_from(NAMES), unique=True, max_size=2).map(tuple)
options = st.builds(
    lambda allergens, is_default, is_active: option("x", *allergens, is_default=is_default, is_active=is_active),
    some,
    st.booleans(),
    st.booleans(),
)
groups = st.builds(
    lambda options, least: group(*options, least=least), st.lists(options, max_size=3), st.integers(0, 2)
)


@st.composite
def drinks(draw: st.DrawFn) -> PricedProduct:
    allergens = draw(some)
    always = draw(st.none() | st.sets(st.sampled_from(allergens or ("milk",))).map(tuple)) if allergens else None
    return drink(*draw(st.lists(groups, max_size=2)), allergens=allergens, always=always)


def allowed(product: PricedProduct) -> Iterator[dict[UUID, int]]:
    """Give every choice that the groups allow."""
    active = [option for each in product.modifier_groups for option in each.options if option.is_active]
    for taken in combinations((0, 1), repeat=len(active)):
        quantities = {option.id: 1 for option, is_taken in zip(active, taken, strict=True) if is_taken}
        pieces = [sum(option.id in quantities for option in each.options) for each in product.modifier_groups]
        if all(each.min_choices <= n for each, n in zip(product.modifier_groups, pieces, strict=True)):
            yield quantities


@given(drinks())
def test_what_can_be_avoided_is_avoided_by_some_allowed_choice(product: PricedProduct) -> None:
    made = [contents_of(product, size=None, quantities=quantities).allergens for quantities in allowed(product)]

    said = set(avoidable_allergens(product)) & set(NAMES)
    assert said <= {name for name in NAMES if any(name not in allergens for allergens in made)}


@given(drinks())
def test_what_a_default_option_brings_can_be_avoided_where_a_choice_does(product: PricedProduct) -> None:
    """The other way round, but for allergens that go with a default option which hasn't got them itself."""
    made = [contents_of(product, size=None, quantities=quantities).allergens for quantities in allowed(product)]
    of_defaults = {
        allergen
        for each in product.modifier_groups
        for option in each.options
        if option.is_default
        for allergen in option.allergens
    }

    for name in of_defaults | (set(NAMES) - set(product.allergens)):
        assert (name in avoidable_allergens(product)) == any(name not in allergens for allergens in made)
