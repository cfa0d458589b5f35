"""Opening hours against wall clocks that jump: table cases, and a slow oracle that walks the minutes."""

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crema.shops import domain
from crema.shops.domain import (
    Interval,
    OpeningHours,
    OpeningState,
    OverlappingHoursError,
    SpecialDay,
    TooManyIntervalsError,
    interval,
)
from factories.hours import WINDOWS, daily, hours, special_days, utc, weeks

MINUTE = timedelta(minutes=1)
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


# An ordinary Monday, in zones with every kind of offset; the times are the UTC of 08:00 and of 22:00.
ORDINARY = [
    ("Europe/Berlin", "2026-11-23T07:00", "2026-11-23T21:00"),
    ("Europe/London", "2026-11-23T08:00", "2026-11-23T22:00"),
    ("Europe/Lisbon", "2026-07-06T07:00", "2026-07-06T21:00"),
    ("America/New_York", "2026-11-23T13:00", "2026-11-24T03:00"),
    ("Asia/Kathmandu", "2026-11-23T02:15", "2026-11-23T16:15"),
    ("Pacific/Apia", "2026-11-22T19:00", "2026-11-23T09:00"),
    ("Europe/Moscow", "2026-11-23T05:00", "2026-11-23T19:00"),
    ("Asia/Yekaterinburg", "2026-11-23T03:00", "2026-11-23T17:00"),
]


@pytest.mark.parametrize(("zone", "opens", "closes"), ORDINARY)
def test_s7_a_day_in_each_zone(zone: str, opens: str, closes: str) -> None:
    shop = hours(zone, (MONDAY, "08:00", "22:00"))

    assert shop.state(utc(opens) - MINUTE) == OpeningState(is_open=False, opens_at=utc(opens), closes_at=None)
    assert shop.state(utc(opens)) == OpeningState(is_open=True, opens_at=None, closes_at=utc(closes))
    assert shop.state(utc(closes) - MINUTE).is_open
    assert not shop.state(utc(closes)).is_open
    assert shop.next_opening(utc(opens)) == utc(opens) + timedelta(days=7)


# Night shops open 22:00 on Saturday and close 02:30 on Sunday (in the zone's own hour of change).
CHANGES = [
    # Back: 02:30 comes twice, at 00:30Z and 01:30Z. The first counts.
    ("Europe/Berlin", "22:00", "02:30", "2027-10-30T20:00", "2027-10-31T00:30"),
    ("Europe/London", "22:00", "01:30", "2027-10-30T21:00", "2027-10-31T00:30"),
    ("Europe/Lisbon", "22:00", "01:30", "2027-10-30T21:00", "2027-10-31T00:30"),
    ("America/New_York", "22:00", "01:30", "2027-11-07T02:00", "2027-11-07T05:30"),
    # Closing after the repeated hour: it lasts an hour longer.
    ("Europe/Berlin", "22:00", "03:30", "2027-10-30T20:00", "2027-10-31T02:30"),
    # Forward: 02:30 is skipped; with the offset from before, it is 01:30Z = 03:30.
    ("Europe/Berlin", "22:00", "02:30", "2027-03-27T21:00", "2027-03-28T01:30"),
    ("Europe/London", "22:00", "01:30", "2027-03-27T22:00", "2027-03-28T01:30"),
    ("Europe/Lisbon", "22:00", "01:30", "2027-03-27T22:00", "2027-03-28T01:30"),
    ("America/New_York", "22:00", "02:30", "2027-03-14T03:00", "2027-03-14T07:30"),
    ("Europe/Berlin", "22:00", "03:30", "2027-03-27T21:00", "2027-03-28T01:30"),
    # No changes any more.
    ("Europe/Moscow", "22:00", "02:30", "2027-03-27T19:00", "2027-03-27T23:30"),
    ("Asia/Yekaterinburg", "22:00", "02:30", "2027-10-30T17:00", "2027-10-30T21:30"),
    ("Asia/Kathmandu", "22:00", "02:30", "2027-10-30T16:15", "2027-10-30T20:45"),
    ("Pacific/Apia", "22:00", "02:30", "2027-10-30T09:00", "2027-10-30T13:30"),
    # Moscow's last change: from summer time for good, 26 October 2014, 02:00 to 01:00.
    ("Europe/Moscow", "22:00", "01:30", "2014-10-25T18:00", "2014-10-25T21:30"),
]


@pytest.mark.parametrize(("zone", "opens_at", "closes_at", "opens", "closes"), CHANGES)
def test_s7_a_night_when_the_clock_changes(zone: str, opens_at: str, closes_at: str, opens: str, closes: str) -> None:
    shop = hours(zone, (SATURDAY, opens_at, closes_at))

    assert shop.next_opening(utc(opens) - MINUTE) == utc(opens)
    assert shop.closing_after(utc(opens)) == utc(closes)
    assert shop.is_open(utc(closes) - MINUTE)
    assert not shop.is_open(utc(closes))


def test_it_does_not_open_again_when_the_hour_repeats() -> None:
    shop = hours("Europe/Berlin", (SATURDAY, "22:00", "02:30"))

    second_time_at_02_10 = utc("2027-10-31T01:10")

    assert not shop.is_open(second_time_at_02_10)


def test_s7_an_opening_that_is_skipped_comes_an_hour_later_by_the_clock() -> None:
    shop = hours("Europe/Berlin", (SUNDAY, "02:30", "10:00"))

    opening = shop.next_opening(utc("2027-03-28T00:00"))

    assert opening == utc("2027-03-28T01:30")
    assert opening.astimezone(shop.zone).isoformat() == "2027-03-28T03:30:00+02:00"


def test_an_opening_that_comes_twice_is_the_first() -> None:
    shop = hours("Europe/Berlin", (SUNDAY, "02:30", "10:00"))

    assert shop.next_opening(utc("2027-10-30T12:00")) == utc("2027-10-31T00:30")


def test_hours_that_end_before_they_could_begin_do_not_happen() -> None:
    shop = hours("Europe/Berlin", (SUNDAY, "02:30", "03:00"))

    assert not shop.is_open(utc("2027-03-28T01:30"))
    assert shop.next_opening(utc("2027-03-28T00:00")) == utc("2027-04-04T00:30")


def test_a_day_the_calendar_skips_has_no_hours() -> None:
    friday_only = hours("Pacific/Apia", (FRIDAY, "08:00", "22:00"))
    thursday = utc("2011-12-29T18:00")  # 08:00 in the old offset, -10

    assert friday_only.business_date(thursday) == date(2011, 12, 29)
    assert friday_only.next_opening(thursday) == utc("2012-01-05T18:00")


def test_a_night_into_a_skipped_day_lasts_as_long_as_any() -> None:
    thursday_night = hours("Pacific/Apia", (3, "22:00", "02:00"))

    assert thursday_night.closing_after(utc("2011-12-30T08:00")) == utc("2011-12-30T12:00")


def test_sunday_night_reaches_into_monday() -> None:
    shop = hours("Europe/Moscow", (SUNDAY, "20:00", "03:00"))

    assert shop.is_open(utc("2026-11-22T23:59"))  # Monday 02:59
    assert not shop.is_open(utc("2026-11-23T00:00"))
    assert shop.closing_after(utc("2026-11-22T22:00")) == utc("2026-11-23T00:00")


def test_midnight_does_not_close_what_goes_on() -> None:
    shop = hours("Europe/Moscow", (MONDAY, "20:00", "24:00"), (1, "00:00", "02:00"))

    assert shop.closing_after(utc("2026-11-23T18:00")) == utc("2026-11-23T23:00")
    assert shop.next_opening(utc("2026-11-23T18:00")) == utc("2026-11-30T17:00")


@pytest.mark.parametrize("zone", [zone for zone, *_ in ORDINARY])
@pytest.mark.parametrize(
    "at", ["2026-11-23T09:00", "2027-03-28T01:15", "2027-10-31T01:15", "2027-10-31T23:59:59.999999"]
)
def test_round_the_clock_never_closes(zone: str, at: str) -> None:
    shop = daily(zone, "00:00", "24:00")

    assert shop.state(utc(at)) == OpeningState(is_open=True, opens_at=None, closes_at=None)
    assert shop.next_opening(utc(at)) is None


def test_a_week_of_which_an_hour_is_closed_does_close() -> None:
    shop = hours("Europe/Moscow", *((day, "00:00", "24:00") for day in range(6)), (SUNDAY, "00:00", "23:00"))

    assert shop.closing_after(utc("2026-11-22T21:00")) == utc("2026-11-29T20:00")
    assert shop.next_opening(utc("2026-11-23T09:00")) == utc("2026-11-29T21:00")


def test_no_hours_mean_never() -> None:
    shop = hours("Europe/Moscow")

    assert shop.state(utc("2026-11-23T09:00")) == OpeningState(is_open=False, opens_at=None, closes_at=None)
    assert shop.closing_after(utc("2026-11-23T09:00")) is None


def test_a_closed_shop_tells_the_closing_of_its_next_opening() -> None:
    assert daily("Europe/Moscow", "08:00", "22:00").closing_after(utc("2026-11-23T20:00")) == utc("2026-11-24T19:00")


def test_the_business_date_is_the_shop_s_own() -> None:
    late = utc("2026-11-23T21:30")

    assert daily("Europe/Moscow", "08:00", "22:00").business_date(late) == date(2026, 11, 24)
    assert daily("America/New_York", "08:00", "22:00").business_date(late) == date(2026, 11, 23)
    assert daily("Pacific/Apia", "08:00", "22:00").business_date(utc("2026-11-23T10:59")) == date(2026, 11, 23)
    assert daily("Pacific/Apia", "08:00", "22:00").business_date(utc("2026-11-23T11:00")) == date(2026, 11, 24)


def test_the_instant_s_own_zone_does_not_matter() -> None:
    shop = daily("Europe/Moscow", "08:00", "22:00")
    at = utc("2026-11-23T09:00")

    assert shop.state(at.astimezone(ZoneInfo("Asia/Kathmandu"))) == shop.state(at)


@pytest.mark.parametrize("server_zone", ["UTC", "America/New_York", "Pacific/Apia"], indirect=True)
def test_s7_the_server_s_zone_does_not_matter(server_zone: str) -> None:
    shop = hours("Europe/Berlin", (SATURDAY, "22:00", "02:30"))

    assert shop.next_opening(utc("2027-10-29T12:00")) == utc("2027-10-30T20:00")
    assert shop.closing_after(utc("2027-10-30T21:00")) == utc("2027-10-31T00:30")


# The oracle: it knows nothing but what each UTC minute looks like on the wall.

DAYS_BEFORE, DAYS_AFTER = 5, 20


@lru_cache
def wall_clock(zone: str, around: date) -> tuple[datetime, list[datetime], dict[datetime, int], list[datetime]]:
    """Give the window's first minute, the wall of each, each wall's first minute, and the highest wall so far."""
    start = datetime(around.year, around.month, around.day, tzinfo=UTC) - timedelta(days=DAYS_BEFORE)
    walls = [
        (start + n * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        for n in range((DAYS_BEFORE + DAYS_AFTER) * 1440)
    ]
    first: dict[datetime, int] = {}
    highest: list[datetime] = []
    for n, wall in enumerate(walls):
        first.setdefault(wall, n)
        highest.append(max(wall, highest[-1]) if highest else wall)
    return start, walls, first, highest


def oracle(
    zone: str, around: date, intervals: list[Interval], special: dict[date, SpecialDay]
) -> tuple[datetime, list[bool]]:
    """Tell for each minute of the window whether the shop is open."""
    start, walls, first, highest = wall_clock(zone, around)

    def minute_of(wall: datetime) -> int:
        if wall in first:
            return first[wall]
        last_before = bisect_right(highest, wall) - 1  # then the clock jumped over it
        return last_before + (wall - walls[last_before]) // MINUTE

    opened = [False] * len(walls)
    for day in sorted({wall.date() for wall in walls})[1:-3]:
        ordinary = [each for each in intervals if each.weekday == day.weekday()]
        for each in special[day].hours if day in special else ordinary:
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - wall time
            begin, end = (minute_of(midnight + m * MINUTE) for m in (each.opens_minute, each.closes_minute))
            opened[begin:end] = [True] * max(0, end - begin)
    return start, opened


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WINDOWS), weeks(), st.integers(2 * 1440, 7 * 1440), st.integers(0, 59_999_999), st.data())
def test_it_agrees_with_a_walk_through_the_minutes(
    window: tuple[str, date], week: list[Interval], minute: int, microseconds: int, data: st.DataObject
) -> None:
    zone, around = window
    special = data.draw(special_days(around) | st.just({}))
    start, opened = oracle(zone, around, week, special)
    at = start + minute * MINUTE + timedelta(microseconds=microseconds)
    shop = OpeningHours(ZoneInfo(zone), tuple(week), special)

    changes = [n for n in range(minute + 1, minute + 12 * 1440) if opened[n] != opened[n - 1]]
    opening = next((start + n * MINUTE for n in changes if opened[n]), None)
    closing = next((start + n * MINUTE for n in changes if not opened[n]), None)

    assert shop.is_open(at) is opened[minute]
    if opening is not None:
        assert shop.next_opening(at) == opening
    if closing is not None and (not opened[minute] or closing - at <= timedelta(days=7)):
        assert shop.closing_after(at) == closing
    elif opened[minute]:
        assert shop.closing_after(at) is None


@given(st.sampled_from(WINDOWS), weeks(), st.integers(0, 20 * 1440))
def test_the_public_state_is_of_one_mind(window: tuple[str, date], week: list[Interval], minute: int) -> None:
    zone, around = window
    at = datetime(around.year, around.month, around.day, tzinfo=UTC) - timedelta(days=5) + minute * MINUTE
    shop = OpeningHours(ZoneInfo(zone), tuple(week))

    state = shop.state(at)

    assert not (state.opens_at and state.closes_at)
    assert state.opens_at is None or (not state.is_open and shop.is_open(state.opens_at))
    assert state.closes_at is None or (state.is_open and not shop.is_open(state.closes_at))
    assert state.is_open or bool(state.opens_at) == bool(week)


# Weeks as people write them.


@pytest.mark.parametrize(
    ("opens_at", "closes_at", "minutes"),
    [
        ("08:00", "22:00", (480, 1320)),
        ("00:00", "24:00", (0, 1440)),
        ("08:00", "24:00", (480, 1440)),
        ("08:00", "00:00", (480, 1440)),
        ("22:00", "02:00", (1320, 1560)),
        ("23:59", "23:58", (1439, 2878)),
    ],
)
def test_reads_wall_times(opens_at: str, closes_at: str, minutes: tuple[int, int]) -> None:
    read = interval(MONDAY, opens_at, closes_at)

    assert (read.opens_minute, read.closes_minute) == minutes
    assert read.opens_at == opens_at
    assert read.closes_at == (closes_at if minutes[1] != 1440 else "24:00")


def test_refuses_to_open_and_close_at_once() -> None:
    with pytest.raises(ValueError, match="same time"):
        interval(MONDAY, "08:00", "08:00")


@given(st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1439))
def test_writes_what_it_reads(weekday: int, opens: int, lasts: int) -> None:
    given_interval = Interval(weekday, opens, opens + lasts)

    assert interval(weekday, given_interval.opens_at, given_interval.closes_at) == given_interval


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ((0, "08:00", "12:00"), (0, "11:59", "14:00"), "Monday 08:00-12:00 and Monday 11:59-14:00"),
        ((4, "20:00", "03:00"), (5, "02:00", "10:00"), "Friday 20:00-03:00 and Saturday 02:00-10:00"),
        ((0, "01:00", "05:00"), (6, "22:00", "01:01"), "Sunday 22:00-01:01 and Monday 01:00-05:00"),
        ((0, "00:00", "24:00"), (6, "22:00", "00:01"), "Sunday 22:00-00:01 and Monday 00:00-24:00"),
        ((3, "08:00", "12:00"), (3, "08:00", "12:00"), "Thursday 08:00-12:00 and Thursday 08:00-12:00"),
    ],
)
def test_refuses_intervals_that_overlap(first: tuple[int, str, str], second: tuple[int, str, str], named: str) -> None:
    with pytest.raises(OverlappingHoursError, match=named):
        domain.check_week([interval(*first), interval(*second)])


@pytest.mark.parametrize(
    "week",
    [
        [],
        [(0, "08:00", "12:00"), (0, "12:00", "14:00")],
        [(0, "01:00", "05:00"), (6, "22:00", "01:00")],
        [(day, "00:00", "24:00") for day in range(7)],
        [(day, "06:00", "05:59") for day in range(7)],
        [(0, f"{hour:02}:00", f"{hour:02}:30") for hour in range(10)],
    ],
)
def test_takes_intervals_that_touch(week: list[tuple[int, str, str]]) -> None:
    domain.check_week([interval(*each) for each in week])


def test_refuses_an_eleventh_interval_of_a_day() -> None:
    with pytest.raises(TooManyIntervalsError):
        domain.check_week([interval(0, f"{hour:02}:00", f"{hour:02}:30") for hour in range(11)])


@given(
    st.lists(
        st.builds(
            lambda w, o, d: Interval(w, o, o + d), *(st.integers(a, b) for a, b in [(0, 6), (0, 1439), (1, 1440)])
        ),
        max_size=4,
    )
)
def test_overlap_is_what_shares_a_minute_of_the_week(week: list[Interval]) -> None:
    minutes = [minute % domain.WEEK for each in week for minute in range(*each.week_minutes)]
    shares = len(minutes) != len(set(minutes))

    try:
        domain.check_week(week)
    except OverlappingHoursError:
        assert shares
    else:
        assert not shares
