from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.cart import domain
from crema.cart.domain import (
    Choice,
    Configured,
    InvalidConfigurationError,
    ItemUnavailableError,
    PricedItem,
    StoredItem,
    digest,
    price_items,
    subtotal,
    with_default_choices,
)
from crema.core.errors import UnknownReferenceError
from crema.menu.domain import PricedGroup, PricedOption, PricedProduct, PricedSize, SizePrice, offer_of
from crema.orders.domain import DraftLine, check_total

NOON = datetime(2026, 11, 23, 9, tzinfo=UTC)


def configure(product: PricedProduct, *, size_id: UUID | None, choices: Sequence[Choice] | None) -> Configured:
    return domain.configure(offer_of(product), size_id=size_id, choices=choices, at=NOON)


def price(*lines: tuple[PricedProduct, UUID | None, tuple[Choice, ...], int]) -> list[PricedItem]:
    items = [
        StoredItem(uuid4(), product.id, size_id, None, choices, "", quantity)
        for product, size_id, choices, quantity in lines
    ]
    return price_items(items, {product.id: offer_of(product) for product, *_ in lines}, at=NOON)


def option(name: str, price: str = "0", *, most: int = 1, default: bool = False, active: bool = True) -> PricedOption:
    return PricedOption(
        id=uuid4(),
        name=name,
        price_delta=Decimal(price),
        max_quantity=most,
        is_default=default,
        is_active=active,
    )


def group(name: str, *options: PricedOption, least: int = 0, most: int = 1, free: int = 0) -> PricedGroup:
    return PricedGroup(id=uuid4(), name=name, min_choices=least, max_choices=most, free_quantity=free, options=options)


def product(*groups: PricedGroup, sizes: tuple[PricedSize, ...] = (), price: str = "250") -> PricedProduct:
    return PricedProduct(
        id=uuid4(),
        name="Латте",
        price=Decimal(price),
        is_on_menu=True,
        preparation_seconds=90,
        sizes=sizes,
        modifier_groups=groups,
    )


def size(name: str, delta: str, *, default: bool = False) -> PricedSize:
    return PricedSize(id=uuid4(), name=name, volume_ml=300, price_delta=Decimal(delta), is_default=default)


def test_the_default_size_is_taken_when_none_is_said() -> None:
    small, large = size("S", "0", default=True), size("L", "90")
    latte = product(sizes=(small, large))

    assert configure(latte, size_id=None, choices=()).size == small
    assert configure(latte, size_id=large.id, choices=()).unit_price == Decimal(340)


def test_refuses_a_size_of_another_product() -> None:
    with pytest.raises(UnknownReferenceError) as refusal:
        configure(product(), size_id=uuid4(), choices=())
    assert [error["loc"] for error in refusal.value.extra["errors"]] == [["body", "size_id"]]


def test_a_required_choice_falls_to_its_default() -> None:
    cow, oat = option("Коровье", default=True), option("Овсяное", "60")
    latte = product(group("Молоко", cow, oat, least=1))

    assert with_default_choices(latte, None) == (Choice(cow.id),)
    assert with_default_choices(latte, ()) == (Choice(cow.id),)
    assert with_default_choices(latte, (Choice(oat.id),)) == (Choice(oat.id),)


def test_an_optional_default_can_be_left_out() -> None:
    cinnamon = option("Корица", default=True)
    latte = product(group("Топпинг", cinnamon))

    assert with_default_choices(latte, None) == (Choice(cinnamon.id),)
    assert with_default_choices(latte, ()) == ()


def test_a_broken_group_rule_names_the_group() -> None:
    cow, oat = option("Коровье"), option("Овсяное")
    latte = product(group("Молоко", cow, oat, least=1))

    for choices in ((), (Choice(cow.id), Choice(oat.id))):
        with pytest.raises(InvalidConfigurationError, match="Молоко") as refusal:
            configure(latte, size_id=None, choices=choices)
        assert refusal.value.extra["group"] == "Молоко"


def test_refuses_more_pieces_than_the_option_allows() -> None:
    shot = option("Шот", "70", most=2)
    latte = product(group("Шоты", shot, most=5))

    with pytest.raises(InvalidConfigurationError, match="at most 2"):
        configure(latte, size_id=None, choices=(Choice(shot.id, 3),))


def test_refuses_an_option_of_another_product() -> None:
    cow = option("Коровье")
    with pytest.raises(UnknownReferenceError) as refusal:
        configure(product(group("Молоко", cow)), size_id=None, choices=(Choice(cow.id), Choice(uuid4())))
    assert [error["loc"] for error in refusal.value.extra["errors"]] == [["body", "options", 1, "option_id"]]
    assert "not offered" in refusal.value.extra["problems"][0]["detail"]


def test_refuses_an_inactive_option() -> None:
    oat = option("Овсяное", active=False)

    with pytest.raises(ItemUnavailableError):
        configure(product(group("Молоко", oat)), size_id=None, choices=(Choice(oat.id),))


def test_the_first_syrup_is_free() -> None:
    vanilla, caramel = option("Ваниль", "40", most=2), option("Карамель", "50", most=2)
    latte = product(group("Сироп", vanilla, caramel, most=3, free=1))

    assert configure(latte, size_id=None, choices=(Choice(caramel.id),)).unit_price == Decimal(250)
    assert configure(latte, size_id=None, choices=(Choice(vanilla.id, 2),)).unit_price == Decimal(290)
    both = configure(latte, size_id=None, choices=(Choice(caramel.id), Choice(vanilla.id)))
    assert both.unit_price == Decimal(300), "the cheaper piece is the free one"


@st.composite
def configured(draw: st.DrawFn) -> tuple[PricedProduct, list[Choice]]:
    free = draw(st.integers(0, 5))
    options = [
        option(f"o{n}", draw(st.decimals(0, 500, places=2)).to_eng_string(), most=5)
        for n in range(draw(st.integers(1, 4)))
    ]
    chosen = [Choice(o.id, draw(st.integers(1, 5))) for o in options if draw(st.booleans())]
    return product(group("g", *options, most=50, free=free)), chosen


@given(configured())
def test_the_price_does_not_depend_on_the_order_of_choices(
    made: tuple[PricedProduct, list[Choice]],
) -> None:
    latte, choices = made
    shuffled = list(reversed(choices))

    one = configure(latte, size_id=None, choices=choices).unit_price
    other = configure(latte, size_id=None, choices=shuffled).unit_price

    assert one == other >= latte.price


@given(configured())
def test_free_pieces_only_ever_lower_the_price(made: tuple[PricedProduct, list[Choice]]) -> None:
    latte, choices = made
    (of_group,) = latte.modifier_groups
    full = sum(o.price_delta * c.quantity for o in of_group.options for c in choices if c.option_id == o.id)

    price = configure(latte, size_id=None, choices=choices).unit_price - latte.price

    assert 0 <= price <= full
    pieces = sum(choice.quantity for choice in choices)
    assert price == 0 if pieces <= of_group.free_quantity else True


AMOUNTS = st.decimals(0, 500, places=2)
DELTAS = st.decimals(-500, 500, places=2)


@st.composite
def discounted(draw: st.DrawFn) -> list[tuple[Configured, int]]:
    """Lines of products, sizes and options any of which may take more off than there is."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        sizes = (size("S", str(draw(DELTAS))), size("L", str(draw(DELTAS))))
        options = [
            replace(
                option(f"o{n}", str(draw(DELTAS)), most=5),
                size_prices=(SizePrice("L", draw(DELTAS)),) if draw(st.booleans()) else (),
            )
            for n in range(draw(st.integers(1, 4)))
        ]
        of_group = group("g", *options, most=50, free=draw(st.integers(0, 5)))
        made = product(of_group, sizes=sizes, price=str(draw(AMOUNTS)))
        chosen = [Choice(each.id, draw(st.integers(1, 5))) for each in options if draw(st.booleans())]
        configured = configure(made, size_id=draw(st.sampled_from(sizes)).id, choices=chosen)
        lines.append((configured, draw(st.integers(1, 50))))
    return lines


@given(discounted())
def test_no_line_and_no_total_is_negative_however_much_sizes_and_options_take_off(
    lines: list[tuple[Configured, int]],
) -> None:
    """Tried: "own cup −20.00", and a small size cheaper than the base. What one line takes off lowers no other."""
    drafts = [DraftLine(configured, quantity, "") for configured, quantity in lines]
    items = price(
        *((line.configured.product, line.configured.size_id, line.configured.choices, line.quantity) for line in drafts)
    )
    expected = []
    for configured, quantity in lines:
        assert configured.size is not None
        pieces = sum((each.price for each in configured.options), configured.size.price_delta)
        expected.append(max(configured.product.price + pieces, Decimal(0)) * quantity)

    assert [line.total for line in drafts] == [item.total for item in items] == expected
    assert all(line.configured.unit_price >= 0 for line in drafts)
    assert check_total(drafts, expected=None, minimum=Decimal(0)) == subtotal(items) == sum(expected)
    assert subtotal(items) >= 0


def test_equal_configurations_have_one_digest_whatever_their_order() -> None:
    product_id, one, other = uuid4(), Choice(uuid4()), Choice(uuid4(), 2)

    def of(*choices: Choice, size_id: UUID | None = None, note: str = "") -> str:
        return digest(product_id=product_id, size_id=size_id, choices=choices, note=note)

    assert of(one, other) == of(other, one)
    assert len({of(one, other), of(one), of(), of(size_id=uuid4()), of(note="hot")}) == 5


def test_what_cannot_be_sold_is_marked_and_not_counted() -> None:
    gone = PricedProduct(**{**_fields(product()), "is_on_menu": False})
    kept = product(price="100")

    items = price((gone, None, (), 2), (kept, None, (), 2))

    assert [item.is_available for item in items] == [False, True]
    assert items[0].reason
    assert subtotal(items) == Decimal(200)


def _fields(made: PricedProduct) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}
