"""What takes too long is refused with what would help; the usual question never is."""

import pytest
from sqlalchemy import Select, func, select

from crema.db.driver import READ_SETTINGS, PoolReader, open_pool
from crema.db.listing import ListStatement, TooCostlyError, paginate
from crema.db.session import Sessions
from listing.things import THINGS, Thing, create_table, make_things, store

pytestmark = pytest.mark.anyio

SLOW: Select[Thing] = select(Thing).where(func.pg_sleep(0.01).is_not(None))
"""Takes more than half a second for the things there are."""
BUDGET = "crema.db.listing.query.BUDGET_SECONDS"
QUESTIONS = [[("name__icontains", "елк")], [("search", "елк")], [("sort", "note")]]


@pytest.fixture
async def stored(own_sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    async with own_sessions.begin() as session:
        await create_table(await session.connection())
        await store(session, make_things(60))
    monkeypatch.setattr(BUDGET, 0.1)
    return own_sessions


@pytest.mark.parametrize("question", QUESTIONS)
async def test_f7_a_question_past_its_budget_is_refused_and_the_next_is_answered(
    stored: Sessions, question: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SLOW.order_by(None) if question[0][0] == "sort" else SLOW.where(Thing.rank > -9)
    async with stored() as session:
        with pytest.raises(TooCostlyError) as refusal:
            await paginate(session, slow, THINGS.parse(question))
    monkeypatch.setattr(BUDGET, 60)  # a busy machine is not what is tried
    async with stored() as session:
        assert (await paginate(session, select(Thing), THINGS.parse([("name", "нет")]))).total == 0

    assert refusal.value.code == "too_costly"
    assert refusal.value.extra["filters"] == ["id", "name"]


async def test_the_usual_question_is_answered_however_long_it_takes(stored: Sessions) -> None:
    async with stored() as session:
        assert (await paginate(session, SLOW, THINGS.parse([("page", "3")]))).total == 60


@pytest.mark.parametrize("question", QUESTIONS)
async def test_f7_the_same_of_a_list_that_is_read_all_the_time(
    stored: Sessions, database_url: str, question: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = ListStatement(select(Thing.id).where(func.pg_sleep(0.01).is_not(None), Thing.rank > -9))
    async with open_pool(database_url, size=1, settings=READ_SETTINGS) as pool:
        reader = PoolReader(pool)
        with pytest.raises(TooCostlyError):
            await statement.page(reader, THINGS.parse(question))
        monkeypatch.setattr(BUDGET, 60)
        assert (await ListStatement(select(Thing.id)).page(reader, THINGS.parse([("name", "нет")]))).total == 0
