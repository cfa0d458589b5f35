from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.orders.domain import (
    IllegalTransitionError,
    OrderRole,
    OrderStatus,
    ReasonRequiredError,
    StepBackTooLateError,
    check_move,
    number_of,
)
from crema.shops.domain import OpeningHours, ShopSchedule

NEXT_DAYS = [date(2026, 11, 23) + timedelta(days=n) for n in range(26)]
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SCHEDULE = ShopSchedule(OpeningHours(ZoneInfo("Europe/Moscow"), ()))


LEGAL = {
    "placed accepted": "staff system",
    "placed cancelled": "owner staff system",
    "placed expired": "system",
    "accepted preparing": "staff",
    "accepted cancelled": "owner staff system",
    "preparing ready": "staff",
    "preparing cancelled": "staff system",
    "ready completed": "staff",
    "ready cancelled": "staff system",
    "ready expired": "system",
}
"""Written out, so that a slip in the code's own table shows."""
TAKEN_BACK = {"preparing accepted", "ready preparing", "completed ready"}


@pytest.mark.parametrize(("start", "to", "role"), list(product(OrderStatus, OrderStatus, OrderRole)))
def test_a10_only_these_moves_are_possible(start: OrderStatus, to: OrderStatus, role: OrderRole) -> None:
    if role.value in LEGAL.get(f"{start} {to}", "").split():
        check_move(start, to, {role}, reason="Пролили")
    else:
        with pytest.raises(IllegalTransitionError):
            check_move(start, to, {role}, reason="Пролили")


@pytest.mark.parametrize(("start", "to", "role"), list(product(OrderStatus, OrderStatus, OrderRole)))
def test_a10_only_staff_take_a_move_back_and_only_these(start: OrderStatus, to: OrderStatus, role: OrderRole) -> None:
    is_forward = role.value in LEGAL.get(f"{start} {to}", "").split()
    is_back = role == OrderRole.STAFF and f"{start} {to}" in TAKEN_BACK

    for minutes in (0, 10):
        if is_forward or is_back:
            check_move(start, to, {role}, reason="Пролили", time_since_move=timedelta(minutes=minutes))
        else:
            with pytest.raises(IllegalTransitionError):
                check_move(start, to, {role}, reason="Пролили", time_since_move=timedelta(minutes=minutes))
    late = timedelta(minutes=10, microseconds=1)
    if is_forward:
        check_move(start, to, {role}, reason="Пролили", time_since_move=late)
    else:
        with pytest.raises(StepBackTooLateError if is_back else IllegalTransitionError):
            check_move(start, to, {role}, reason="Пролили", time_since_move=late)


def test_a_refusal_lists_a_step_back_only_while_it_is_possible() -> None:
    for time_since_move, allowed in (
        (timedelta(), ["cancelled", "completed", "preparing"]),
        (None, ["cancelled", "completed"]),
    ):
        with pytest.raises(IllegalTransitionError) as refusal:
            check_move(OrderStatus.READY, OrderStatus.PLACED, {OrderRole.STAFF}, time_since_move=time_since_move)
        assert refusal.value.extra["allowed"] == allowed


@pytest.mark.parametrize("reason", [None, ""])
def test_a10_what_is_ready_is_cancelled_with_a_reason_only(reason: str | None) -> None:
    with pytest.raises(ReasonRequiredError):
        check_move(OrderStatus.READY, OrderStatus.CANCELLED, {OrderRole.STAFF}, reason=reason)


def test_an_owner_who_is_staff_has_the_rights_of_both() -> None:
    check_move(OrderStatus.PREPARING, OrderStatus.CANCELLED, {OrderRole.OWNER, OrderRole.STAFF})


@pytest.mark.parametrize(
    ("sequence", "number"),
    [(1, "J-001"), (42, "J-042"), (999, "J-999"), (1000, "JA-001"), (999 * 27, "JZ-999"), (999 * 27 + 1, "JAA-001")],
)
def test_numbers_read_like_a_call(sequence: int, number: str) -> None:
    assert number_of(sequence, day=NEXT_DAYS[0]) == number


ORDINALS = st.tuples(st.integers(1, 10**6), st.sampled_from(NEXT_DAYS))


@given(ORDINALS, ORDINALS)
def test_numbers_of_one_day_and_of_days_that_share_a_board_differ(
    one: tuple[int, date], other: tuple[int, date]
) -> None:
    assert (number_of(one[0], day=one[1]) == number_of(other[0], day=other[1])) == (one == other)
