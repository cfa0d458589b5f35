"""When products are sold: windows of a shop's local week."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from crema.menu.domain import Schedule, Timetable, Window

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
BREAKFAST = (Window(EVERY_DAY, 7 * 60, 11 * 60),)


def at(text: str, zone: ZoneInfo = MOSCOW) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def test_no_schedule_is_always() -> None:
    assert Timetable().allows(at("2026-11-27T03:00"), MOSCOW)
    assert Timetable().next_change(at("2026-11-27T03:00"), MOSCOW) is None


def test_a_window_begins_with_its_first_moment_and_ends_before_its_last() -> None:
    breakfast = Timetable(own=BREAKFAST)

    seen = [breakfast.allows(at(f"2026-11-27T{wall}"), MOSCOW) for wall in ("06:59", "07:00", "10:59", "11:00")]

    assert seen == [False, True, True, False]


def test_a_window_past_midnight_belongs_to_the_day_it_begins_on() -> None:
    friday_night = Timetable(own=(Window((4,), 22 * 60, 26 * 60),))

    seen = [friday_night.allows(at(moment), MOSCOW) for moment in ("2026-11-28T01:59", "2026-11-28T02:00")]

    assert seen == [True, False]
    assert not friday_night.allows(at("2026-11-29T01:00"), MOSCOW)


def test_dates_are_those_of_the_shop_and_both_count() -> None:
    december = Timetable(own=(Window(EVERY_DAY, 0, 1440, date(2026, 12, 1), date(2026, 12, 31)),))

    assert not december.allows(at("2026-11-30T23:59"), MOSCOW)
    assert december.allows(at("2026-12-01T00:00"), MOSCOW)
    assert december.allows(at("2026-12-31T23:59"), MOSCOW)
    assert not december.allows(at("2027-01-01T00:00"), MOSCOW)
    assert december.next_change(at("2026-06-01T12:00"), MOSCOW) == at("2026-12-01T00:00")


def test_a_product_of_two_categories_is_sold_while_one_of_them_is() -> None:
    evening: Schedule = (Window(EVERY_DAY, 18 * 60, 22 * 60),)
    both = Timetable(category_schedules=((BREAKFAST,), (evening,)))

    seen = [both.allows(at(f"2026-11-27T{wall}"), MOSCOW) for wall in ("08:00", "15:00", "20:00")]

    assert seen == [True, False, True]
    assert both.next_change(at("2026-11-27T12:00"), MOSCOW) == at("2026-11-27T18:00")


def test_a_category_is_sold_while_all_above_it_are() -> None:
    weekend: Schedule = (Window((5, 6), 0, 1440),)
    nested = Timetable(category_schedules=((BREAKFAST, weekend),))

    assert not nested.allows(at("2026-11-27T08:00"), MOSCOW)
    assert nested.next_change(at("2026-11-27T08:00"), MOSCOW) == at("2026-11-28T07:00")


def test_a_window_in_a_skipped_hour_is_reckoned_with_the_offset_before() -> None:
    early = Timetable(own=(Window(EVERY_DAY, 2 * 60 + 30, 5 * 60),))

    # On this night clocks in Berlin go from 2:00 to 3:00.
    assert early.next_change(at("2027-03-28T00:00", BERLIN), BERLIN) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    begin = draw(st.integers(0, 23)) * 60
    starts = draw(st.none() | st.dates(date(2026, 11, 20), date(2027, 2, 1)))
    ends = draw(st.none() | st.dates(date(2026, 11, 20), date(2027, 2, 1)))
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    return Window(tuple(sorted(days)), begin, begin + draw(st.integers(1, 24)) * 60, starts, ends)


schedules = st.lists(windows(), max_size=2).map(tuple)
timetables = st.builds(
    Timetable, schedules, st.lists(st.lists(schedules, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
)


@given(timetables, st.integers(0, 24 * 60))
def test_nothing_changes_before_the_next_change_and_something_does_then(timetable: Timetable, hours: int) -> None:
    begin = datetime(2026, 11, 15, tzinfo=UTC) + timedelta(hours=hours)
    change = timetable.next_change(begin, MOSCOW)
    seen = timetable.allows(begin, MOSCOW)

    for step in range(1, 24 * 14):
        moment = begin + timedelta(hours=step)
        if change is not None and moment >= change:
            break
        assert timetable.allows(moment, MOSCOW) == seen
    if change is not None:
        assert timetable.allows(change, MOSCOW) != seen
