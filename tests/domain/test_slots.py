"""Where the work of orders goes: tables of cases, and orders drawn at random at shops drawn at random."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.shops.domain import (
    SLOT_MINUTES,
    Capacity,
    CapacityException,
    Handover,
    HandoverCode,
    HandoverRefusal,
    InvalidCapacityError,
    OpeningHours,
    ShopSchedule,
    ShopState,
    ShopStatus,
    SlotBooking,
    SlotGrid,
    WorkSchedule,
    check_capacity,
    interval,
    shrink,
)
from factories.hours import WINDOWS, daily, utc, weeks

MINUTE = timedelta(minutes=1)
NO_LEAD = timedelta()


def day_shop(
    *, seconds: int | None = 600, lead: timedelta = NO_LEAD, used: dict[str, int] | None = None, **capacity: object
) -> WorkSchedule:
    """A shop in London's winter that is open from 08:00 to 22:00, with slots of ten minutes."""
    schedule = ShopSchedule(daily("Europe/London", "08:00", "22:00"), lead=lead)
    return WorkSchedule(
        schedule,
        Capacity(seconds_per_slot=seconds, **capacity),  # type: ignore[arg-type]
        {at(wall): each for wall, each in (used or {}).items()},
    )


def at(wall: str) -> datetime:
    return utc(f"2026-11-27 {wall}")


def plan(shop: WorkSchedule, pickup: str | None, *, now: str, work: int) -> Handover | HandoverRefusal:
    return shop.plan(at(pickup) if pickup else None, now=at(now), work=timedelta(seconds=work))


def booked(found: Handover | HandoverRefusal) -> dict[str, int]:
    assert isinstance(found, Handover), found
    return {f"{each.starts_at:%H:%M}": each.seconds for each in found.bookings}


def refused(found: Handover | HandoverRefusal) -> HandoverRefusal:
    assert isinstance(found, HandoverRefusal), found
    return found


def test_work_goes_into_the_slot_of_the_pickup_time() -> None:
    found = plan(day_shop(), "10:05", now="09:00", work=500)

    assert booked(found) == {"10:00": 500}
    assert found == Handover(at("10:05"), (SlotBooking(at("10:00"), 500, 600),))


def test_what_a_slot_cannot_hold_goes_into_those_before_it() -> None:
    shop = day_shop(used={"10:00": 500, "09:50": 600, "09:40": 100})

    assert booked(plan(shop, "10:00", now="09:00", work=700)) == {"09:30": 100, "09:40": 500, "10:00": 100}


def test_of_the_current_slot_only_the_remaining_share_counts() -> None:
    shop = day_shop(used={"10:00": 100})

    found = plan(shop, "10:10", now="10:04", work=360)
    assert booked(found) == {"10:10": 360}
    assert booked(plan(day_shop(used={"10:10": 600}), "10:19", now="10:04", work=360)) == {"10:00": 360}
    full = refused(plan(day_shop(used={"10:10": 600}), "10:19", now="10:05", work=361))
    assert full.code == HandoverCode.SLOT_FULL


def test_the_lead_time_is_no_time_to_work_in() -> None:
    shop = day_shop(lead=4 * MINUTE, used={"10:10": 600})

    assert booked(plan(shop, "10:19", now="10:00", work=360)) == {"10:00": 360}
    assert refused(plan(shop, "10:19", now="10:00", work=361)).code == HandoverCode.SLOT_FULL


def test_work_does_not_go_back_past_the_opening() -> None:
    found = refused(plan(day_shop(), "08:05", now="07:00", work=601))

    assert found.code == HandoverCode.SLOT_FULL
    assert found.next_slot is not None
    assert (found.next_slot.starts_at, found.next_slot.ends_at) == (at("08:10"), at("08:20"))
    assert found.next_at == at("08:10")


def test_half_open_slots_hold_half() -> None:
    shop = day_shop(seconds=600, slot_minutes=60)
    shop = replace(shop, schedule=ShopSchedule(daily("Europe/London", "08:30", "22:00"), lead=NO_LEAD))

    assert booked(plan(shop, "08:59", now="07:00", work=300)) == {"08:00": 300}
    assert refused(plan(shop, "08:59", now="07:00", work=301)).next_at == at("09:00")


def test_a_full_slot_names_the_next_for_which_it_fits() -> None:
    used = {f"{hour:02}:{minute:02}": 600 for hour in (9, 10) for minute in range(0, 60, 10)} | {"11:00": 300}
    found = refused(plan(day_shop(used=used), "10:00", now="09:00", work=400))

    assert (found.code, found.next_at, found.until) == (HandoverCode.SLOT_FULL, at("11:10"), at("11:10"))
    later = plan(day_shop(used=used), "11:10", now="09:00", work=400)
    assert booked(later) == {"11:10": 400}


def test_the_next_slot_may_be_tomorrows() -> None:
    found = refused(plan(day_shop(seconds=10), "21:00", now="20:55", work=100))

    assert found.next_at == at("21:00") + timedelta(hours=12, minutes=30), "ten slots after tomorrow's opening"


def test_an_order_larger_than_a_day_has_no_next_slot() -> None:
    found = refused(plan(day_shop(seconds=0), "21:00", now="09:00", work=1))

    assert (found.code, found.next_at, found.next_slot) == (HandoverCode.SLOT_FULL, None, None)


def test_as_soon_as_possible_takes_the_first_that_is_free() -> None:
    shop = day_shop(used={"10:00": 100, "10:10": 600})

    found = plan(shop, None, now="10:04", work=400)
    assert booked(found) == {"10:00": 260, "10:20": 140}
    assert isinstance(found, Handover)
    assert found.ready_at == at("10:20") + timedelta(seconds=140)


def test_as_soon_as_possible_is_not_sooner_than_the_work_itself() -> None:
    found = plan(day_shop(seconds=6000, lead=2 * MINUTE), None, now="10:00", work=300)

    assert isinstance(found, Handover)
    assert found.ready_at == at("10:07"), "ten baristas, but one makes it"


def test_a_busy_shop_begins_later() -> None:
    shop = day_shop()
    busy = ShopStatus(ShopState.BUSY, delay_minutes=20)
    shop = replace(shop, schedule=replace(shop.schedule, status=busy))

    found = plan(shop, None, now="10:00", work=60)
    assert booked(found) == {"10:20": 60}
    assert isinstance(found, Handover)
    assert found.ready_at == at("10:21")
    assert refused(plan(shop, "10:20", now="10:00", work=60)).next_at == at("10:21")


def test_as_soon_as_possible_ends_with_the_opening() -> None:
    shop = day_shop(used={"21:40": 600, "21:50": 500})

    assert booked(plan(shop, None, now="21:40", work=100)) == {"21:50": 100}
    found = refused(plan(shop, None, now="21:40", work=101))
    assert (found.code, found.next_at) == (HandoverCode.SLOT_FULL, at("08:00") + timedelta(days=1))


def test_too_soon_names_a_time_that_is_free() -> None:
    shop = day_shop(used={"10:00": 600, "10:10": 600})
    found = refused(plan(shop, "10:02", now="10:00", work=180))

    assert (found.code, found.next_at) == (HandoverCode.TOO_SOON, at("10:20"))
    assert booked(plan(shop, "10:20", now="10:00", work=180)) == {"10:20": 180}


def test_without_a_limit_nothing_is_booked() -> None:
    assert booked(plan(day_shop(seconds=None), "10:00", now="09:00", work=3_000)) == {}


def test_a_limit_at_some_times_only_books_only_then() -> None:
    friday = CapacityException(interval(4, "10:00", "10:20"), 60)
    shop = day_shop(seconds=None, exceptions=(friday,))

    assert booked(plan(shop, "09:30", now="09:00", work=900)) == {}
    assert booked(plan(shop, "10:10", now="09:00", work=900)) == {"10:00": 60, "10:10": 60}, "the rest has no limit"


def test_exceptions_hold_by_the_clock_on_the_wall_past_midnight_and_past_sunday() -> None:
    late = CapacityException(interval(6, "23:00", "01:00"), 5)
    capacity = Capacity(seconds_per_slot=600, exceptions=(late,))
    grid = SlotGrid(ZoneInfo("Europe/Moscow"), capacity, ())

    found = [grid.slot_at(utc(f"2026-11-{day} {hour}")).seconds_per_slot for day, hour in DAYS_AND_HOURS]

    assert found == [600, 5, 5, 600]


DAYS_AND_HOURS = [(29, "19:59"), (29, "20:00"), (29, "21:59"), (29, "22:00")]


@pytest.mark.parametrize(
    ("exceptions", "index"),
    [
        ([(0, "08:00", "10:00"), (0, "08:05", "09:00")], 1),
        ([(0, "08:00", "10:05")], 0),
        ([(0, "10:00", "12:00"), (0, "08:00", "10:10")], 0),
        ([(6, "22:00", "08:00"), (0, "07:50", "09:00")], 1),
    ],
)
def test_exceptions_that_overlap_or_cut_slots_are_refused(exceptions: list[tuple[int, str, str]], index: int) -> None:
    capacity = Capacity(exceptions=tuple(CapacityException(interval(*each), 60) for each in exceptions))

    with pytest.raises(InvalidCapacityError) as refusal:
        check_capacity(capacity)

    assert refusal.value.extra["errors"][0]["loc"] == ["body", "exceptions", index]


def test_what_becomes_less_keeps_its_latest_part() -> None:
    bookings = [SlotBooking(at("10:10"), 50, 60), SlotBooking(at("10:00"), 30, 60)]

    kept = shrink(bookings, timedelta(seconds=60))

    assert [(each.starts_at, each.seconds) for each in kept] == [(at("10:00"), 10), (at("10:10"), 50)]
    assert shrink(bookings, timedelta()) == ()


# Drawn at random.

_MINUTES = st.sampled_from(SLOT_MINUTES)


@given(window=st.sampled_from(WINDOWS), minutes=_MINUTES, offset=st.integers(-2 * 1440, 2 * 1440))
def test_slots_follow_each_other_without_gaps_and_begin_with_the_wall_time(
    window: tuple[str, date], minutes: int, offset: int
) -> None:
    zone, day = window
    grid = SlotGrid(ZoneInfo(zone), Capacity(slot_minutes=minutes), ())
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + offset * MINUTE

    slot = grid.slot_at(moment)

    assert slot.starts_at <= moment < slot.ends_at <= slot.starts_at + slot.length
    assert {grid.slot_at(each) == slot for each in (slot.starts_at, slot.ends_at - timedelta.resolution)} == {True}
    assert grid.slot_at(slot.ends_at).starts_at == slot.ends_at
    wall = slot.starts_at.astimezone(grid.zone)
    before = (slot.starts_at - timedelta.resolution).astimezone(grid.zone)
    assert wall.minute % minutes == 0 or wall.utcoffset() != before.utcoffset()


@st.composite
def shops(draw: st.DrawFn) -> tuple[WorkSchedule, datetime]:
    """Draw a shop with limits, and a moment at which something may be ordered there."""
    zone, day = draw(st.sampled_from(WINDOWS))
    minutes = draw(_MINUTES)
    capacity = Capacity(minutes, draw(st.one_of(st.none(), st.integers(0, 900))), tuple(draw(exceptions(minutes))))
    week = draw(st.one_of(weeks(), st.just([interval(each, "00:00", "24:00") for each in range(7)])))
    schedule = ShopSchedule(
        OpeningHours(ZoneInfo(zone), tuple(sorted(week))),
        ShopStatus(ShopState.BUSY, draw(st.integers(1, 90))) if draw(st.booleans()) else ShopStatus(),
        lead=timedelta(seconds=draw(st.integers(0, 600))),
    )
    now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=draw(st.integers(-86_400, 86_400)))
    return WorkSchedule(schedule, capacity), now


@st.composite
def exceptions(draw: st.DrawFn, minutes: int) -> list[CapacityException]:
    """Draw at most one exception a weekday, so that none overlap."""
    days = draw(st.sets(st.integers(0, 6), max_size=7))
    found = []
    for day in days:
        begin = draw(st.integers(0, 1440 // minutes - 1))
        end = draw(st.integers(begin + 1, 1440 // minutes))
        span = replace(interval(day, "00:00", "24:00"), opens_minute=begin * minutes, closes_minute=end * minutes)
        found.append(CapacityException(span, draw(st.integers(0, 900))))
    return found


_ORDERS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 600)), st.integers(0, 1500), st.integers(0, 900)), max_size=25
)


@given(shop=shops(), orders=_ORDERS)
def test_work_is_never_lost_never_over_capacity_and_never_before_it_can_begin(
    shop: tuple[WorkSchedule, datetime], orders: list[tuple[int | None, int, int]]
) -> None:
    """Orders come one after another, some cancelled: what is booked at any time fits, and all of it is booked."""
    empty, now = shop
    used: dict[datetime, int] = defaultdict(int)
    for pickup_in, seconds, passes in orders:
        now += timedelta(seconds=passes)
        current = replace(empty, used=dict(used))
        pickup_at = None if pickup_in is None else now + pickup_in * MINUTE
        found = current.plan(pickup_at, now=now, work=timedelta(seconds=seconds))
        if isinstance(found, HandoverRefusal):
            _check_refusal(current, found, now=now, seconds=seconds)
            continue
        start = current.schedule.soonest(now, timedelta())
        grid = SlotGrid(current.schedule.hours.zone, current.capacity, _openings(current, now))
        assert found.ready_at >= start + timedelta(seconds=seconds)
        assert pickup_at is None or found.ready_at == pickup_at
        for booking in found.bookings:
            slot = grid.slot_at(booking.starts_at)
            assert slot.starts_at == booking.starts_at
            assert slot.ends_at > start
            assert slot.starts_at <= found.ready_at
            used[booking.starts_at] += booking.seconds
            capacity = slot.capacity_from(start)
            assert capacity is not None
            assert used[booking.starts_at] <= booking.limit == capacity <= (slot.capacity_seconds or 0)
        total = sum(each.seconds for each in found.bookings)
        is_limited_everywhere = current.capacity.seconds_per_slot is not None
        assert total == seconds if is_limited_everywhere else total <= seconds


def _openings(shop: WorkSchedule, now: datetime) -> list[tuple[datetime, datetime]]:
    return [*shop.schedule.hours.openings_between(now - timedelta(days=2), now + timedelta(days=9))]


def _check_refusal(shop: WorkSchedule, found: HandoverRefusal, *, now: datetime, seconds: int) -> None:
    """The time that a refusal names is one for which the same order is taken."""
    if found.next_at is None or found.next_at > now + timedelta(days=7):
        return
    later = shop.plan(found.next_at, now=now, work=timedelta(seconds=seconds))
    assert isinstance(later, Handover), (found, later)


@given(shop=shops(), seconds=st.integers(1, 1500), loads=st.lists(st.integers(0, 900), max_size=30))
def test_as_soon_as_possible_is_the_earliest_possible(
    shop: tuple[WorkSchedule, datetime], seconds: int, loads: list[int]
) -> None:
    """Each slot before the last one booked is filled, and a second less of work would not be ready later."""
    empty, now = shop
    start = empty.schedule.soonest(now, timedelta())
    grid = SlotGrid(empty.schedule.hours.zone, empty.capacity, _openings(empty, now))
    slots = [slot for slot, _ in zip(grid.forwards(now), loads, strict=False)]
    loaded = replace(empty, used={slot.starts_at: load for slot, load in zip(slots, loads, strict=True)})

    found = loaded.plan(None, now=now, work=timedelta(seconds=seconds))

    if isinstance(found, HandoverRefusal):
        return
    taken = {each.starts_at: each.seconds for each in found.bookings}
    last = max(taken, default=start)
    for slot in grid.forwards(start):
        if slot.starts_at >= last or slot.seconds_per_slot is None:
            break
        capacity = slot.capacity_from(start)
        assert capacity is not None
        used = loaded.used.get(slot.starts_at, 0)
        assert taken.get(slot.starts_at, 0) == max(0, capacity - used), "what is free before the last slot is taken"
    less = loaded.plan(None, now=now, work=timedelta(seconds=seconds - 1))
    assert isinstance(less, Handover)
    assert less.ready_at <= found.ready_at
