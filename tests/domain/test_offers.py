"""What a shop offers of a product, and why it can't be had at a moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from crema.menu.domain import (
    Availability,
    Contained,
    OptionDifference,
    PricedGroup,
    PricedOption,
    PricedProduct,
    ProductDifference,
    ReasonCode,
    ShopDifferences,
    SizePrice,
    Timetable,
    Window,
    availability,
    next_change,
    offer_of,
    option_availability,
    suggest_replacement,
)

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
TWO = NOON + timedelta(hours=2)
THREE = NOON + timedelta(hours=3)
MOSCOW = ZoneInfo("Europe/Moscow")
COFFEE, MILK, OATS, ALMONDS = (Contained(uuid4(), name) for name in ("coffee", "milk", "oats", "almonds"))


def option(name: str, *ingredients: Contained, delta: str = "0", is_default: bool = False) -> PricedOption:
    allergens = tuple({"milk": "milk", "almonds": "nuts"}[each.name] for each in ingredients if each != OATS)
    return PricedOption(uuid4(), name, Decimal(delta), 1, is_default, True, allergens, ingredients)


COW, OAT, ALMOND = (
    option("Cow's milk", MILK, is_default=True),
    option("Oat milk", OATS, delta="60"),
    option("Almond milk", ALMONDS, delta="70"),
)
MILKS = PricedGroup(uuid4(), "Milk", 1, 1, 0, (COW, OAT, ALMOND))
LATTE = PricedProduct(
    uuid4(), "Latte", Decimal(250), True, 90, (), (MILKS,), ingredients=(COFFEE, MILK), allergens=("milk",)
)


def shop(
    *,
    products: dict[UUID, ProductDifference] | None = None,
    options: dict[UUID, OptionDifference] | None = None,
    stops: dict[Contained | PricedOption | PricedProduct, datetime | None] | None = None,
    stocks: dict[UUID, int] | None = None,
) -> ShopDifferences:
    kinds = {Contained: "ingredient", PricedOption: "option", PricedProduct: "product"}
    told = {(kinds[type(what)], what.id): until for what, until in (stops or {}).items()}
    return ShopDifferences(MOSCOW, products or {}, options or {}, told, stocks or {})  # type: ignore[arg-type]


def codes(found: Availability) -> list[tuple[str, datetime | None]]:
    return [(reason.code.value, reason.until) for reason in found.reasons]


def test_a_shop_without_differences_sells_what_the_chain_does() -> None:
    offer = offer_of(LATTE, shop())

    assert offer.product == LATTE
    assert availability(offer, at=NOON).is_available


def test_a_price_of_nothing_is_free_and_no_price_is_the_chains() -> None:
    dear_in_large = replace(OAT, size_prices=(SizePrice("L", Decimal(90)),))
    free = offer_of(
        replace(LATTE, modifier_groups=(replace(MILKS, options=(dear_in_large,)),)),
        shop(
            products={LATTE.id: ProductDifference(price=Decimal(0))},
            options={OAT.id: OptionDifference(price_delta=Decimal(0))},
        ),
    )
    same = offer_of(
        LATTE,
        shop(products={LATTE.id: ProductDifference()}, options={OAT.id: OptionDifference()}),
    )

    (oat,) = free.product.modifier_groups[0].options
    assert (free.product.price, oat.price_delta, oat.size_prices) == (0, 0, ())
    assert same.product == LATTE


def test_a_stopped_ingredient_stops_every_product_that_needs_it_until_then() -> None:
    offer = offer_of(LATTE, shop(stops={COFFEE: TWO}))

    assert codes(availability(offer, at=NOON)) == [("stopped_ingredient", TWO)]
    assert availability(offer, at=TWO).is_available


def test_an_ingredient_that_comes_with_a_default_option_stops_that_option_alone() -> None:
    offer = offer_of(LATTE, shop(stops={MILK: None}))

    assert availability(offer, at=NOON).is_available
    assert codes(option_availability(offer, COW.id, at=NOON)) == [("stopped_ingredient", None)]
    assert option_availability(offer, OAT.id, at=NOON).is_available


def test_a_required_group_without_a_choice_stops_the_product_until_the_first_is_back() -> None:
    offer = offer_of(LATTE, shop(stops={COW: None, OATS: THREE, ALMOND: TWO}))

    assert codes(availability(offer, at=NOON)) == [("stopped", TWO)]
    assert availability(offer, at=TWO).is_available


def test_a_group_that_requires_two_pieces_waits_for_the_second() -> None:
    both = replace(LATTE, modifier_groups=(replace(MILKS, min_choices=2, max_choices=2),))

    offer = offer_of(both, shop(stops={COW: None, OAT: THREE, ALMOND: TWO}))

    assert codes(availability(offer, at=NOON)) == [("stopped", THREE)]


def test_an_optional_group_without_a_choice_stops_nothing() -> None:
    optional = replace(LATTE, modifier_groups=(replace(MILKS, min_choices=0),))

    offer = offer_of(optional, shop(stops={COW: None, OAT: None, ALMOND: None}))

    assert availability(offer, at=NOON).is_available


def test_a_group_of_which_a_shop_sells_nothing_is_not_sold_there() -> None:
    none = {each.id: OptionDifference(is_sold=False) for each in MILKS.options}

    assert codes(availability(offer_of(LATTE, shop(options=none)), at=NOON)) == [("not_sold_here", None)]


@pytest.mark.parametrize(("stock", "quantity", "is_available"), [(2, 2, True), (2, 3, False), (0, 1, False)])
def test_a_stock_is_enough_for_so_many(stock: int, quantity: int, is_available: bool) -> None:  # noqa: FBT001
    offer = offer_of(LATTE, shop(stocks={LATTE.id: stock}))

    found = availability(offer, at=NOON, quantity=quantity)

    assert found.is_available == is_available
    assert {reason.code for reason in found.reasons} <= {ReasonCode.OUT_OF_STOCK}


def test_everything_in_the_way_is_told_at_once() -> None:
    breakfast = Timetable(own=(Window((0, 1, 2, 3, 4, 5, 6), 7 * 60, 11 * 60),))
    differences = shop(
        products={LATTE.id: ProductDifference(is_sold=False)},
        stops={LATTE: None, COFFEE: TWO, OATS: None},
        stocks={LATTE.id: 0},
    )

    found = availability(offer_of(replace(LATTE, timetable=breakfast), differences), at=NOON)

    # Noon is 15:00 in Moscow; the next breakfast begins at 7 there.
    assert codes(found) == [
        ("not_sold_here", None),
        ("stopped", None),
        ("stopped_ingredient", TWO),
        ("out_of_stock", None),
        ("out_of_schedule", datetime(2026, 11, 28, 4, tzinfo=UTC)),
    ]


def test_what_is_off_the_menu_is_told_alone() -> None:
    gone = replace(LATTE, is_on_menu=False, hidden_by=("Coffee",))

    found = availability(offer_of(gone, shop(stops={LATTE: None})), at=NOON)

    assert [reason.detail for reason in found.reasons] == ["Latte is off the menu: the category Coffee is hidden."]


def test_what_is_suggested_brings_no_new_allergen_if_that_can_be() -> None:
    stopped = offer_of(LATTE, shop(stops={COW: None}))
    oat_gone = offer_of(LATTE, shop(stops={OATS: None}))
    all_gone = offer_of(LATTE, shop(stops={COW: None, OAT: None, ALMOND: None}))

    assert suggest_replacement(stopped, MILKS, COW, at=NOON) == OAT
    assert suggest_replacement(oat_gone, MILKS, OAT, at=NOON) == ALMOND
    assert suggest_replacement(all_gone, MILKS, OAT, at=NOON) is None


def test_the_next_change_is_the_first_end_of_anything() -> None:
    offer = offer_of(LATTE, shop(stops={COFFEE: THREE, OAT: TWO, ALMOND: None}))

    assert next_change(offer, after=NOON) == TWO
    assert next_change(offer, after=TWO) == THREE
    assert next_change(offer, after=THREE) is None
