"""Whether a shop hands over an order at a time: its hours, its status, its lead time and its last orders together."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.shops import domain
from crema.shops.domain import (
    Handover,
    HandoverCode,
    HandoverRefusal,
    Interval,
    InvalidStatusError,
    OpeningHours,
    ShopSchedule,
    ShopState,
    ShopStatus,
    SpecialDay,
)
from factories.hours import WINDOWS, daily, special_days, utc, weeks

MINUTE = timedelta(minutes=1)
NOW = utc("2026-11-23T09:00")  # noon in Moscow, on a Monday
NO_WORK = timedelta()
ZONES = [zone for zone, _ in WINDOWS]

SHOP = ShopSchedule(daily("Europe/Moscow", "08:00", "22:00"))
PAUSED = replace(SHOP, status=ShopStatus(ShopState.PAUSED, until=utc("2026-11-23T10:00")))
PAUSED_FOR_GOOD = replace(SHOP, status=ShopStatus(ShopState.PAUSED))
BUSY = replace(SHOP, status=ShopStatus(ShopState.BUSY, 15, utc("2026-11-23T10:00")))


def refused(schedule: ShopSchedule, pickup_at: str | None, *, now: datetime = NOW) -> HandoverRefusal:
    found = schedule.check_handover(pickup_at and utc(pickup_at), now=now, work=NO_WORK)
    assert isinstance(found, HandoverRefusal)
    return found


@pytest.mark.parametrize(
    ("schedule", "pickup_at", "ready_at"),
    [
        (SHOP, None, "2026-11-23T09:05"),
        (SHOP, "2026-11-23T09:05", "2026-11-23T09:05"),
        (SHOP, "2026-11-24T18:59", "2026-11-24T18:59"),
        (replace(SHOP, lead=timedelta(minutes=10)), None, "2026-11-23T09:13"),
        (BUSY, None, "2026-11-23T09:20"),
        (BUSY, "2026-11-23T09:20", "2026-11-23T09:20"),
        (PAUSED, "2026-11-23T10:00", "2026-11-23T10:00"),
        (replace(SHOP, last_order=timedelta(minutes=30)), "2026-11-23T18:59", "2026-11-23T18:59"),
    ],
)
def test_what_is_taken_and_when_it_is_ready(schedule: ShopSchedule, pickup_at: str | None, ready_at: str) -> None:
    """Three minutes of work, after two of lead time."""
    found = schedule.check_handover(pickup_at and utc(pickup_at), now=NOW, work=timedelta(minutes=3))

    assert found == Handover(utc(ready_at))


@pytest.mark.parametrize(
    ("schedule", "now", "pickup_at", "code", "until", "next_at"),
    [
        (SHOP, "2026-11-23T19:00", None, "shop_closed", "2026-11-24T05:00", "2026-11-24T05:00"),
        (SHOP, "2026-11-23T09:00", "2026-11-23T19:00", "outside_opening_hours", "2026-11-24T05:00", "2026-11-24T05:00"),
        (SHOP, "2026-11-23T09:00", "2026-11-23T09:01", "too_soon", "2026-11-23T09:02", "2026-11-23T09:02"),
        (SHOP, "2026-11-23T18:59", "2026-11-23T18:59", "too_soon", "2026-11-23T19:01", "2026-11-24T05:00"),
        (BUSY, "2026-11-23T09:00", "2026-11-23T09:16", "too_soon", "2026-11-23T09:17", "2026-11-23T09:17"),
        (PAUSED, "2026-11-23T09:00", None, "shop_paused", "2026-11-23T10:00", "2026-11-23T10:00"),
        (PAUSED, "2026-11-23T09:00", "2026-11-23T09:59", "shop_paused", "2026-11-23T10:00", "2026-11-23T10:00"),
        (PAUSED, "2026-11-23T04:00", None, "shop_closed", "2026-11-23T05:00", "2026-11-23T10:00"),
        (PAUSED_FOR_GOOD, "2026-11-23T09:00", None, "shop_paused", None, None),
        (PAUSED_FOR_GOOD, "2026-11-23T09:00", "2026-11-29T09:00", "shop_paused", None, None),
    ],
)
def test_what_is_refused_why_and_when_it_would_be_taken(
    schedule: ShopSchedule, now: str, pickup_at: str | None, code: str, until: str | None, next_at: str | None
) -> None:
    found = refused(schedule, pickup_at, now=utc(now))

    assert (found.code, found.until, found.next_at) == (code, until and utc(until), next_at and utc(next_at))


def test_a_status_ends_by_itself() -> None:
    for schedule in (PAUSED, BUSY):
        assert schedule.check_handover(None, now=utc("2026-11-23T10:00"), work=NO_WORK) == Handover(
            utc("2026-11-23T10:02")
        )


@pytest.mark.parametrize(
    ("minutes", "now", "is_taken"),
    [
        (0, "2026-11-23T18:59", True),
        (30, "2026-11-23T18:29", True),
        (30, "2026-11-23T18:30", False),
        (30, "2026-11-23T18:59", False),
        (900, "2026-11-23T05:00", False),
    ],
)
def test_orders_for_right_now_end_some_minutes_before_closing(minutes: int, now: str, *, is_taken: bool) -> None:
    schedule = replace(SHOP, last_order=timedelta(minutes=minutes))

    found = schedule.check_handover(None, now=utc(now), work=NO_WORK)

    assert isinstance(found, Handover) is is_taken
    if isinstance(found, HandoverRefusal):
        assert (found.code, found.until) == (HandoverCode.SHOP_CLOSED, utc("2026-11-24T05:00"))


def test_round_the_clock_has_no_last_order() -> None:
    schedule = ShopSchedule(daily("Europe/Moscow", "00:00", "24:00"), last_order=timedelta(days=1))

    assert isinstance(schedule.check_handover(None, now=NOW, work=NO_WORK), Handover)


def on_the_day_only(opens_at: str, closes_at: str) -> ShopSchedule:
    """Make a shop whose 31 December takes no orders ahead; other days are from 08:00 to 22:00."""
    hours = daily("Europe/Moscow", "08:00", "22:00", special={"2026-12-31": ((opens_at, closes_at),)})
    (day,) = hours.special_days.values()
    return ShopSchedule(replace(hours, special_days={day.date: replace(day, takes_orders_ahead=False)}))


@pytest.mark.parametrize(
    ("now", "pickup_at", "is_taken"),
    [
        ("2026-12-30T20:59", "2026-12-31T10:00", False),  # 23:59 in Moscow
        ("2026-12-30T21:00", "2026-12-31T10:00", True),
        ("2026-12-31T08:00", "2026-12-31T10:00", True),
        ("2026-12-29T09:00", "2026-12-30T10:00", True),
        ("2026-12-30T09:00", "2027-01-01T10:00", True),
    ],
)
def test_a_day_that_takes_no_orders_ahead_takes_them_on_the_day(now: str, pickup_at: str, *, is_taken: bool) -> None:
    schedule = on_the_day_only("10:00", "20:00")

    found = schedule.check_handover(utc(pickup_at), now=utc(now), work=NO_WORK)

    assert isinstance(found, Handover) is is_taken
    if isinstance(found, HandoverRefusal):
        assert found.code == HandoverCode.NO_ORDERS_AHEAD
        assert (found.until, found.next_at) == (utc("2026-12-30T21:00"), utc("2027-01-01T05:00"))


def test_a_night_belongs_to_the_day_on_which_it_began() -> None:
    """Its hours after midnight take no orders ahead either; those of the night before it do, on its morning too."""
    schedule = on_the_day_only("20:00", "04:00")
    long_evenings = daily("Europe/Moscow", "18:00", "02:00")
    after = replace(schedule, hours=replace(long_evenings, special_days=schedule.hours.special_days))

    assert refused(schedule, "2027-01-01T00:30", now=utc("2026-12-30T09:00")).next_at == utc("2027-01-01T05:00")
    assert isinstance(
        after.check_handover(utc("2026-12-30T22:30"), now=utc("2026-12-30T09:00"), work=NO_WORK), Handover
    )


# What staff may say.


@pytest.mark.parametrize(
    ("status", "field"),
    [
        (ShopStatus(ShopState.BUSY), "delay_minutes"),
        (ShopStatus(ShopState.PAUSED, 5), "delay_minutes"),
        (ShopStatus(ShopState.OPEN, 5), "delay_minutes"),
        (ShopStatus(ShopState.OPEN, None, NOW + MINUTE), "until"),
        (ShopStatus(ShopState.PAUSED, None, NOW), "until"),
        (ShopStatus(ShopState.BUSY, 5, NOW - MINUTE), "until"),
    ],
)
def test_a_status_whose_parts_do_not_fit_is_refused_by_field(status: ShopStatus, field: str) -> None:
    with pytest.raises(InvalidStatusError) as refusal:
        domain.check_status(status, now=NOW)

    assert [error["loc"] for error in refusal.value.extra["errors"]] == [["body", field]]


# What holds of any shop.


@st.composite
def schedules(draw: st.DrawFn, zone: str, around: date) -> ShopSchedule:
    week: list[Interval] = draw(weeks())
    special: dict[date, SpecialDay] = draw(special_days(around))
    until = draw(st.none() | st.integers(0, 6 * 1440).map(lambda minute: utc(str(around)) + (minute - 4320) * MINUTE))
    status = draw(
        st.sampled_from(
            [ShopStatus(), ShopStatus(ShopState.PAUSED, None, until), ShopStatus(ShopState.BUSY, 30, until)]
        )
    )
    return ShopSchedule(
        OpeningHours(ZoneInfo(zone), tuple(week), special),
        status,
        lead=draw(st.sampled_from([0, 2, 45])) * MINUTE,
        last_order=draw(st.sampled_from([0, 10, 90])) * MINUTE,
    )


@given(
    st.sampled_from(WINDOWS),
    st.data(),
    st.integers(-4 * 1440, 4 * 1440),
    st.none() | st.integers(0, 7 * 1440),
    st.integers(0, 120),
    st.integers(0, 999),
)
def test_no_answer_breaks_a_promise(
    window: tuple[str, date], data: st.DataObject, minute: int, ahead: int | None, work_minutes: int, permille: int
) -> None:
    zone, around = window
    schedule = data.draw(schedules(zone, around))
    now, work = utc(str(around)) + minute * MINUTE, work_minutes * MINUTE
    pickup_at = None if ahead is None else now + ahead * MINUTE
    is_paused = schedule.status.at(now).state == ShopState.PAUSED

    found = schedule.check_handover(pickup_at, now=now, work=work)

    if isinstance(found, Handover):
        assert schedule.hours.is_open(pickup_at or now)
        assert found.ready_at >= now + schedule.lead + work
        assert found.ready_at >= (pickup_at or now)
        if is_paused:
            assert pickup_at is not None
            assert schedule.status.until is not None
            assert found.ready_at >= schedule.status.until
        return
    if found.next_at is None:
        return
    first = max(pickup_at or now, schedule.soonest(now, work))
    assert found.next_at >= first
    assert isinstance(schedule.check_handover(found.next_at, now=now, work=work), Handover)
    before = first + (found.next_at - first) * permille // 1000
    if before < found.next_at:
        assert isinstance(schedule.check_handover(before, now=now, work=work), HandoverRefusal)
