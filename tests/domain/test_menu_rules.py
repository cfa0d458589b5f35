"""What a modifier group must allow, which size is the default, which widths a picture gets."""

from itertools import product as every

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.menu.domain import (
    InvalidModifierGroupError,
    OptionRule,
    check_group,
    default_size,
)

options = st.lists(st.builds(OptionRule, st.integers(1, 3), st.booleans(), st.booleans()), max_size=4)
limits = st.integers(0, 6)


def can_be_chosen(least: int, most: int, rules: list[OptionRule]) -> bool:
    """Try every choice among the active options, and the defaults as they are."""
    active = [rule for rule in rules if rule.is_active]
    totals = {sum(choice) for choice in every(*(range(rule.max_quantity + 1) for rule in active))}
    defaults = sum(rule.is_default for rule in active)
    return any(least <= total <= most for total in totals) and defaults <= most


@given(limits, limits, options)
def test_a_group_is_refused_exactly_when_nobody_can_choose_from_it(
    least: int, most: int, rules: list[OptionRule]
) -> None:
    try:
        check_group("Молоко", min_choices=least, max_choices=most, options=rules)
        accepted = True
    except InvalidModifierGroupError:
        accepted = False

    assert accepted == can_be_chosen(least, most, rules)


def test_the_refusal_names_the_group() -> None:
    with pytest.raises(InvalidModifierGroupError) as refusal:
        check_group("Молоко", min_choices=2, max_choices=1, options=[])

    assert refusal.value.extra == {"group": "Молоко"}
    assert refusal.value.detail.startswith("Молоко: ")


@given(st.lists(st.booleans()))
def test_one_size_is_the_default_where_there_are_sizes(marked: list[bool]) -> None:
    default = default_size(marked)

    assert (default is None) == (marked == [])
    assert default is None or marked[default] or (default == 0 and not any(marked))
