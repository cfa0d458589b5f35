"""What a product contains as it was configured, and which allergens some choice of options avoids."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import product as combinations
from typing import Final
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from crema.menu.domain import (
    Contained,
    Nutrition,
    PricedGroup,
    PricedOption,
    PricedProduct,
    PricedSize,
    avoidable_allergens,
    contents_of,
)

NUTRITION: Final = Nutrition(150, 8, 7.5, 12)
COFFEE, MILK, OATS, VANILLA = (Contained(uuid4(), name) for name in ("Эспрессо", "Молоко", "Овёс", "Ваниль"))


def option(
    name: str, *allergens: str, of: tuple[Contained, ...] = (), is_default: bool = False, is_active: bool = True
) -> PricedOption:
    return PricedOption(uuid4(), name, Decimal(0), 1, is_default, is_active, allergens, of)


def group(*options: PricedOption, least: int = 0) -> PricedGroup:
    return PricedGroup(uuid4(), "Молоко", least, 2, 0, options)


def drink(
    *groups: PricedGroup, allergens: tuple[str, ...] = ("milk",), always: tuple[str, ...] | None = ()
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
        nutrition=NUTRITION,
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


def test_nutrition_of_another_size_or_quantity_is_unknown() -> None:
    latte = drink(group(COW, OAT))

    assert contents_of(latte, size=SIZE, quantities={COW.id: 1}).nutrition is None
    assert contents_of(latte, size=None, quantities={COW.id: 2}).nutrition is None


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
