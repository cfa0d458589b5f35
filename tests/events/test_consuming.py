"""The event log, read by position. Twins take a guard off and must lose or repeat an event."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db import changes
from crema.db.base import new_id
from crema.db.session import Sessions
from crema.events import queries, service
from crema.events.models import Event, EventConsumer
from crema.events.queries import LoggedEvent
from crema.events.service import NewEvent, consuming
from crema.events.service.consuming import Consumer, consume

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SUBJECT = new_id()


class Listener:
    """Notes what it is given, in a table of its own transaction: what is rolled back was not handled."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.given: list[str] = []
        self.fails_on: set[str] = set()

    async def handle(self, session: AsyncSession, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            await session.execute(text("INSERT INTO handled VALUES (:kind)"), {"kind": event.data["name"]})
        if failing := self.fails_on & {event.data["name"] for event in events}:
            raise RuntimeError(f"{failing} can't be handled")

    @property
    def consumer(self) -> Consumer:
        return Consumer("tests", frozenset({"thing.happened"}), self.handle)

    async def consume(self, *, limit: int = consuming.BATCH) -> int:
        return await consume(self.sessions, self.consumer, now=NOW, limit=limit)

    async def handled(self) -> list[str]:
        async with self.sessions() as session:
            return [*await session.scalars(text("SELECT name FROM handled ORDER BY name"))]


@pytest.fixture
async def listener(own_sessions: Sessions) -> Listener:
    async with own_sessions.begin() as session:
        await session.execute(text("CREATE TABLE handled (name text)"))
        session.add(EventConsumer(name="tests"))
    return Listener(own_sessions)


def happened(name: str, kind: str = "thing.happened") -> NewEvent:
    return NewEvent(kind, SUBJECT, {"name": name})


async def append(sessions: Sessions, *names: str) -> None:
    async with sessions.begin() as session:
        await service.append(session, [happened(name) for name in names])


async def test_each_event_is_handled_once_in_order(own_sessions: Sessions, listener: Listener) -> None:
    await append(own_sessions, "a", "b")
    await append(own_sessions, "c")
    assert await listener.consume() == 3
    assert await listener.consume() == 0
    assert await listener.handled() == ["a", "b", "c"]


async def test_more_than_a_batch_takes_several(own_sessions: Sessions, listener: Listener) -> None:
    await append(own_sessions, *"abcde")
    counts = [await listener.consume(limit=2) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    assert await listener.handled() == [*"abcde"]


async def test_a_consumer_that_has_nothing_to_do_writes_nothing(own_sessions: Sessions, listener: Listener) -> None:
    await append(own_sessions, "a")
    await listener.consume()
    async with own_sessions() as session:
        locked_by = [await session.scalar(text("SELECT xmax::text FROM event_consumers WHERE name = 'tests'"))]
        await session.rollback()
        await listener.consume()
        locked_by.append(await session.scalar(text("SELECT xmax::text FROM event_consumers WHERE name = 'tests'")))
    assert locked_by[0] == locked_by[1]


async def test_other_kinds_are_left_to_others(own_sessions: Sessions, listener: Listener) -> None:
    async with own_sessions.begin() as session:
        await service.append(session, [happened("other", "thing.else"), happened("mine")])
    assert await listener.consume() == 1
    assert await listener.handled() == ["mine"]


async def test_what_is_rolled_back_never_happened(own_sessions: Sessions, listener: Listener) -> None:
    async with own_sessions() as session:
        await service.append(session, [happened("never")])
        await session.rollback()
    assert await listener.consume() == 0


async def race_a_slow_transaction(sessions: Sessions, listener: Listener) -> list[str]:
    """Begin to log first, commit last, while another transaction logs and is handled between the two."""
    async with sessions() as slow:
        await service.append(slow, [happened("slow")])
        await append(sessions, "fast")
        await listener.consume()
        assert await listener.handled() == ["fast"]  # and doesn't wait for the slow one
        await listener.consume()
        await slow.commit()
    await listener.consume()
    await listener.consume()
    return await listener.handled()


async def test_what_begins_first_and_commits_last_is_not_passed_over(
    own_sessions: Sessions, listener: Listener
) -> None:
    assert await race_a_slow_transaction(own_sessions, listener) == ["fast", "slow"]


async def test_a_position_by_the_last_event_passes_it_over(
    own_sessions: Sessions, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def last_of_all(session: AsyncSession) -> tuple[int, datetime]:
        return (await session.scalar(select(func.max(Event.transaction))) or 0) + 1, NOW

    monkeypatch.setattr(changes, "get_position", last_of_all)
    assert await race_a_slow_transaction(own_sessions, listener) == ["fast"]


async def consume_side_by_side(sessions: Sessions, listener: Listener) -> list[str]:
    """Have two processes handle the same event, the first still at it when the second begins."""
    await append(sessions, "a")
    first_is_at_it, second_is_done = asyncio.Event(), asyncio.Event()

    async def slowly(session: AsyncSession, events: Sequence[LoggedEvent]) -> None:
        await listener.handle(session, events)
        first_is_at_it.set()
        await second_is_done.wait()

    slow = Consumer("tests", listener.consumer.kinds, slowly)
    first = asyncio.create_task(consume(sessions, slow, now=NOW))
    await first_is_at_it.wait()
    second = asyncio.create_task(listener.consume())
    await asyncio.wait({second}, timeout=0.5)
    second_is_done.set()
    await asyncio.gather(first, second)
    return await listener.handled()


async def test_two_processes_handle_an_event_once(own_sessions: Sessions, listener: Listener) -> None:
    assert await consume_side_by_side(own_sessions, listener) == ["a"]


async def test_without_the_lock_on_the_consumer_both_handle_it(
    own_sessions: Sessions, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unlocked(session: AsyncSession, name: str) -> EventConsumer | None:
        return await session.get(EventConsumer, name)

    monkeypatch.setattr(queries, "find_consumer_for_update", unlocked)
    assert await consume_side_by_side(own_sessions, listener) == ["a", "a"]


async def test_a_crash_while_handling_repeats_nothing_and_loses_nothing(
    own_sessions: Sessions, listener: Listener
) -> None:
    await append(own_sessions, "a")

    async def crash(session: AsyncSession, events: Sequence[LoggedEvent]) -> None:
        await listener.handle(session, events)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await consume(own_sessions, Consumer("tests", listener.consumer.kinds, crash), now=NOW)
    assert await listener.handled() == []
    assert await listener.consume() == 1
    assert await listener.handled() == ["a"]


async def test_an_event_that_fails_is_left_to_a_job_and_holds_up_no_other(
    own_sessions: Sessions, listener: Listener
) -> None:
    await append(own_sessions, "a", "poison", "b")
    listener.fails_on = {"poison"}
    assert await listener.consume() == 3
    assert await listener.handled() == ["a", "b"]
    async with own_sessions() as session:
        jobs = (await session.execute(text("SELECT task_name, args FROM procrastinate_jobs"))).all()
    ((task, arguments),) = jobs
    assert (task, arguments["consumer"]) == (consuming.HANDLE_AGAIN, "tests")

    with pytest.raises(RuntimeError):
        await consuming.handle_again(own_sessions, listener.consumer, event_id=UUID(arguments["event_id"]))
    listener.fails_on = set()
    await consuming.handle_again(own_sessions, listener.consumer, event_id=UUID(arguments["event_id"]))
    assert await listener.handled() == ["a", "b", "poison"]


async def test_after_a_restored_backup_new_events_are_handled_and_old_ones_are_not(
    own_sessions: Sessions, listener: Listener
) -> None:
    await append(own_sessions, "last week", "just before")
    await listener.consume()
    beyond = 2**40  # transactions of the server that the backup was taken of
    async with own_sessions.begin() as session:
        await session.execute(update(Event).values(transaction=beyond, created_at=NOW))
        is_old = Event.data["name"].astext == "last week"
        await session.execute(update(Event).where(is_old).values(created_at=NOW - timedelta(days=7)))
        await session.execute(update(EventConsumer).values(transaction=beyond + 1, updated_at=NOW))
    await append(own_sessions, "new")
    assert [await listener.consume() for _ in range(2)] == [2, 0]
    assert await listener.handled() == ["just before", "just before", "last week", "new"]


async def test_old_events_are_forgotten(own_sessions: Sessions, listener: Listener) -> None:
    await append(own_sessions, "old", "young")
    async with own_sessions.begin() as session:
        is_old = Event.data["name"].astext == "old"
        await session.execute(update(Event).where(is_old).values(created_at=NOW - consuming.KEPT - timedelta(hours=1)))
        await session.execute(update(Event).where(~is_old).values(created_at=NOW))
    await consuming.prune(own_sessions, now=NOW)
    async with own_sessions() as session:
        assert [event.data["name"] for event in await session.scalars(select(Event))] == ["young"]
