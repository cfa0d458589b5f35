"""Dates with hours of their own, against weeks, midnights and clocks that jump."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.shops import domain
from crema.shops.domain import (
    Interval,
    OpeningHours,
    OpeningState,
    OverlappingHoursError,
    SpecialDay,
    TooManyIntervalsError,
    day_interval,
)
from factories.hours import WINDOWS, daily, hours, special_days, utc, weeks

MINUTE = timedelta(minutes=1)
MONDAY, SATURDAY, SUNDAY = 0, 5, 6
NEW_YEAR = {"2026-12-31": (("10:00", "18:00"),), "2027-01-01": ()}

# Every day from 08:00 to 22:00, but on 31 December from 10:00 to 18:00, and closed on 1 January. The UTC of 10:00 and
# 18:00 of the 31st, and of 08:00 of the 2nd.
HOLIDAYS = [
    ("Europe/Moscow", "2026-12-31T07:00", "2026-12-31T15:00", "2027-01-02T05:00"),
    ("Europe/Berlin", "2026-12-31T09:00", "2026-12-31T17:00", "2027-01-02T07:00"),
    ("Europe/London", "2026-12-31T10:00", "2026-12-31T18:00", "2027-01-02T08:00"),
    ("Europe/Lisbon", "2026-12-31T10:00", "2026-12-31T18:00", "2027-01-02T08:00"),
    ("America/New_York", "2026-12-31T15:00", "2026-12-31T23:00", "2027-01-02T13:00"),
    ("Asia/Kathmandu", "2026-12-31T04:15", "2026-12-31T12:15", "2027-01-02T02:15"),
    ("Pacific/Apia", "2026-12-30T21:00", "2026-12-31T05:00", "2027-01-01T19:00"),
]


@pytest.mark.parametrize(("zone", "opens", "closes", "again"), HOLIDAYS)
def test_s7_a_shorter_day_and_a_closed_one_in_each_zone(zone: str, opens: str, closes: str, again: str) -> None:
    shop = daily(zone, "08:00", "22:00", special=NEW_YEAR)

    assert shop.state(utc(opens) - MINUTE) == OpeningState(is_open=False, opens_at=utc(opens), closes_at=None)
    assert shop.state(utc(opens)) == OpeningState(is_open=True, opens_at=None, closes_at=utc(closes))
    assert shop.state(utc(closes)) == OpeningState(is_open=False, opens_at=utc(again), closes_at=None)
    assert shop.closing_after(utc(closes)) == utc(again) + timedelta(hours=14)


@pytest.mark.parametrize("server_zone", ["UTC", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"], indirect=True)
@pytest.mark.parametrize(("zone", "opens", "closes", "again"), HOLIDAYS)
def test_s7_the_server_s_zone_does_not_matter_on_special_days(
    server_zone: str, zone: str, opens: str, closes: str, again: str
) -> None:
    shop = daily(zone, "08:00", "22:00", special=NEW_YEAR)

    assert shop.next_opening(utc(opens) - MINUTE) == utc(opens)
    assert shop.closing_after(utc(opens)) == utc(closes)
    assert shop.next_opening(utc(closes)) == utc(again)


# A special day on which the clock changes: what opens at a wall time that is skipped or comes twice.
CHANGES = [
    ("Europe/Berlin", "2027-03-28", "02:30", "2027-03-28T01:30"),
    ("Europe/Berlin", "2027-10-31", "02:30", "2027-10-31T00:30"),
    ("Europe/London", "2027-03-28", "01:30", "2027-03-28T01:30"),
    ("Europe/London", "2027-10-31", "01:30", "2027-10-31T00:30"),
    ("Europe/Lisbon", "2027-03-28", "01:30", "2027-03-28T01:30"),
    ("Europe/Lisbon", "2027-10-31", "01:30", "2027-10-31T00:30"),
    ("America/New_York", "2027-03-14", "02:30", "2027-03-14T07:30"),
    ("America/New_York", "2027-11-07", "01:30", "2027-11-07T05:30"),
    ("Europe/Moscow", "2027-03-28", "02:30", "2027-03-27T23:30"),
    ("Asia/Kathmandu", "2027-10-31", "02:30", "2027-10-30T20:45"),
    ("Pacific/Apia", "2027-10-31", "02:30", "2027-10-30T13:30"),
]


@pytest.mark.parametrize(("zone", "day", "opens_at", "opens"), CHANGES)
def test_s7_a_special_day_on_which_the_clock_changes(zone: str, day: str, opens_at: str, opens: str) -> None:
    shop = daily(zone, "12:00", "20:00", special={day: ((opens_at, "10:00"),)})

    assert shop.next_opening(utc(opens) - timedelta(hours=2)) == utc(opens)
    closing = shop.closing_after(utc(opens))
    assert closing is not None
    assert closing.astimezone(shop.zone).strftime("%H:%M") == "10:00"


def test_a_special_day_that_the_calendar_skips_does_not_happen() -> None:
    shop = hours("Pacific/Apia", special={"2011-12-30": (("08:00", "22:00"),)})

    assert shop.state(utc("2011-12-30T09:00")) == OpeningState(is_open=False, opens_at=None, closes_at=None)


# Every day from 18:00 to 02:00 in Moscow, where it is three hours later than UTC.


def test_what_began_before_a_closed_day_goes_on_past_midnight() -> None:
    shop = daily("Europe/Moscow", "18:00", "02:00", special={"2027-01-01": ()})

    assert shop.closing_after(utc("2026-12-31T20:00")) == utc("2026-12-31T23:00")  # 02:00 on the 1st
    assert shop.business_date(utc("2026-12-31T22:30")) == date(2026, 12, 31)
    assert shop.next_opening(utc("2026-12-31T23:00")) == utc("2027-01-02T15:00")


def test_a_special_day_begins_after_the_night_before_it() -> None:
    shop = daily("Europe/Moscow", "18:00", "02:00", special={"2026-12-31": (("12:00", "16:00"),)})

    assert shop.closing_after(utc("2026-12-30T22:00")) == utc("2026-12-30T23:00")
    assert shop.next_opening(utc("2026-12-30T22:00")) == utc("2026-12-31T09:00")
    assert shop.closing_after(utc("2026-12-31T09:00")) == utc("2026-12-31T13:00")
    assert shop.next_opening(utc("2026-12-31T09:00")) == utc("2027-01-01T15:00")


def test_a_special_night_reaches_into_the_next_day() -> None:
    shop = daily("Europe/Moscow", "18:00", "02:00", special={"2026-12-31": (("20:00", "05:00"),), "2027-01-01": ()})

    assert shop.closing_after(utc("2026-12-31T17:00")) == utc("2027-01-01T02:00")
    assert shop.business_date(utc("2027-01-01T01:59")) == date(2026, 12, 31)
    assert shop.next_opening(utc("2026-12-31T17:00")) == utc("2027-01-02T15:00")


def test_special_hours_that_adjoin_or_overlap_the_night_before_make_one_stretch() -> None:
    shop = daily("Europe/Moscow", "18:00", "02:00", special={"2026-12-31": (("00:00", "06:00"),)})

    assert shop.closing_after(utc("2026-12-30T16:00")) == utc("2026-12-31T03:00")
    assert shop.business_date(utc("2026-12-30T22:00")) == date(2026, 12, 30)
    assert shop.business_date(utc("2026-12-30T23:00")) == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("weekday", "closed", "again"),
    [
        (MONDAY, "2026-12-28", "2027-01-04T05:00"),  # the first day of the week
        (SUNDAY, "2027-01-03", "2027-01-10T05:00"),  # the last one
        (2, "2026-12-30", "2027-01-06T05:00"),
    ],
)
def test_a_closed_day_of_a_shop_that_opens_once_a_week(weekday: int, closed: str, again: str) -> None:
    shop = hours("Europe/Moscow", (weekday, "08:00", "22:00"), special={closed: ()})

    assert shop.next_opening(utc("2026-12-27T20:00")) == utc(again)


def test_a_shop_that_is_closed_for_months_tells_when_it_opens_again() -> None:
    closed = {str(date(2026, 11, 30) + timedelta(weeks=n)): () for n in range(90)}
    shop = hours("Europe/Moscow", (MONDAY, "08:00", "22:00"), special=closed)

    assert shop.next_opening(utc("2026-11-28T12:00")) == utc("2028-08-21T05:00")
    assert shop.closing_after(utc("2026-11-28T12:00")) == utc("2028-08-21T19:00")


def test_a_shop_that_opens_on_special_days_only() -> None:
    shop = hours("Europe/Moscow", special={"2027-06-12": (("10:00", "20:00"),)})

    assert shop.next_opening(utc("2026-11-28T12:00")) == utc("2027-06-12T07:00")
    assert shop.closing_after(utc("2027-06-12T07:00")) == utc("2027-06-12T17:00")
    assert shop.next_opening(utc("2027-06-12T07:00")) is None


def test_a_closed_day_in_round_the_clock() -> None:
    shop = daily("Europe/Moscow", "00:00", "24:00", special={"2027-01-01": ()})

    assert shop.closing_after(utc("2026-12-20T12:00")) is None, "it is open for the whole next week"
    assert shop.closing_after(utc("2026-12-28T12:00")) == utc("2026-12-31T21:00")
    assert shop.next_opening(utc("2026-12-28T12:00")) == utc("2027-01-01T21:00")


# What a change of hours takes from orders.


def test_a_special_day_drops_only_what_was_for_it() -> None:
    before = daily("Europe/Moscow", "08:00", "22:00")
    after = daily("Europe/Moscow", "08:00", "22:00", special=NEW_YEAR)
    now = utc("2026-12-30T12:00")

    def is_dropped(pickup_at: datetime | None) -> bool:
        return before.closes_out(pickup_at, new=after, now=now)

    assert is_dropped(utc("2027-01-01T12:00"))
    assert is_dropped(utc("2026-12-31T16:00"))
    assert not is_dropped(utc("2026-12-31T12:00"))
    assert not is_dropped(utc("2027-01-02T12:00"))
    assert not is_dropped(None)


def test_a_shop_that_opens_on_special_days_only_drops_no_other_order_of_theirs() -> None:
    before = daily("Europe/Moscow", "08:00", "22:00")
    only_special = hours("Europe/Moscow", special={"2026-12-31": (("10:00", "18:00"),)})
    now = utc("2026-12-30T12:00")

    assert not before.closes_out(utc("2026-12-31T12:00"), new=only_special, now=now)
    assert before.closes_out(utc("2026-12-30T15:00"), new=only_special, now=now)
    assert before.closes_out(None, new=only_special, now=now)
    assert before.closes_out(utc("2026-12-31T12:00"), new=only_special, now=utc("2027-01-05T12:00")), (
        "it never opens again"
    )


# What is refused.


def special(day: str, *written: tuple[str, str]) -> SpecialDay:
    return SpecialDay(date.fromisoformat(day), tuple(day_interval(*each) for each in written))


@pytest.mark.parametrize(
    ("days", "named"),
    [
        (
            [special("2026-12-31", ("10:00", "14:00"), ("13:59", "18:00"))],
            "2026-12-31 10:00-14:00 and 2026-12-31 13:59-18:00",
        ),
        (
            [special("2027-01-01", ("02:00", "06:00")), special("2026-12-31", ("20:00", "02:01"))],
            "2026-12-31 20:00-02:01 and 2027-01-01 02:00-06:00",
        ),
    ],
)
def test_refuses_special_days_that_overlap(days: list[SpecialDay], named: str) -> None:
    with pytest.raises(OverlappingHoursError, match=named):
        domain.check_special_days(days)


@pytest.mark.parametrize(
    "days",
    [
        [],
        [special("2026-12-31", ("20:00", "02:00")), special("2027-01-01", ("02:00", "06:00"))],
        [special("2026-12-31", ("20:00", "19:59")), special("2027-01-02", ("00:00", "24:00"))],
        [special("2026-12-31", ("00:00", "24:00")), special("2027-01-01", ("00:00", "24:00"))],
    ],
)
def test_takes_special_days_that_touch(days: list[SpecialDay]) -> None:
    domain.check_special_days(days)


def test_refuses_an_eleventh_interval_of_a_special_day() -> None:
    with pytest.raises(TooManyIntervalsError):
        domain.check_special_days([special("2026-12-31", *((f"{hour:02}:00", f"{hour:02}:30") for hour in range(11)))])


# What holds of any hours.


@given(st.sampled_from(WINDOWS), weeks(), st.integers(0, 10 * 1440), st.integers(0, 999), st.data())
def test_at_the_next_opening_it_is_open_and_before_that_it_is_not(
    window: tuple[str, date], week: list[Interval], minute: int, permille: int, data: st.DataObject
) -> None:
    zone, around = window
    shop = OpeningHours(ZoneInfo(zone), tuple(week), data.draw(special_days(around)))
    at = utc(str(around)) - timedelta(days=5) + minute * MINUTE

    opening = shop.next_opening(at)

    if opening is None:
        assert not week or shop.closing_after(at) is None
        return
    assert shop.is_open(opening)
    assert not shop.is_open(opening - timedelta(microseconds=1))
    if not shop.is_open(at):
        assert not shop.is_open(at + (opening - at) * permille // 1000)
