"""Every instant of every answer is as wide as every other: six digits of the second, were they zeros."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI

from crema.core.instants import format_instant
from crema.db.session import Sessions
from crema.web.docs import Documents
from crema.web.state import state_of
from factories.menu import make_product
from factories.world import World, make_world
from fixtures.app import Clock

pytestmark = pytest.mark.anyio
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
WIDE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("microsecond", [0, 120_000, 123_456])
async def test_every_answer_of_every_get_writes_instants_alike(
    app: FastAPI, sessions: Sessions, clock: Clock, microsecond: int
) -> None:
    clock.now = clock.now.replace(microsecond=microsecond)
    world: World = await make_world(app, sessions)
    found = 0
    async with world.client("admin") as client:
        await make_product(client)
        at = format_instant(clock.now.replace(hour=15))
        await client.patch(f"/order/{world.ids['order_id']}", json={"pickup_at": at})
        for path, item in app.openapi()["paths"].items():
            if "get" not in item or path == "/orders/live":
                continue
            answer = await client.get(world.path(path))
            if answer.headers["content-type"] == "application/json":
                instants = [text for text in texts(answer.json()) if INSTANT.match(text)]
                assert [text for text in instants if not WIDE.fullmatch(text)] == [], path
                found += len(instants)
    assert found > 50


async def test_every_date_time_of_the_descriptions_is_of_that_kind(app: FastAPI) -> None:
    """Frames of sockets and event streams, too: they are made of the models that these schemas are made of."""

    def examples(value: Any, place: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            if value.get("format") == "date-time":
                yield place, value.get("examples")
            for name, each in value.items():
                yield from examples(each, f"{place}/{name}")
        elif isinstance(value, list):
            for each in value:
                yield from examples(each, place)

    answers = {
        name: schema
        for document in (app.openapi(), state_of(app, Documents).asyncapi().content)
        for name, schema in document["components"]["schemas"].items()
        if not name.endswith("Filter")  # what is asked for may be written in other ways
    }
    wrong = [place for place, given in examples(answers, "") if not given or not WIDE.fullmatch(given[0])]

    assert wrong == []
    assert len(list(examples(json.loads(json.dumps(answers)), ""))) > 40


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 11, 23, 9, 30, tzinfo=UTC), "2026-11-23T09:30:00.000000Z"),
        (datetime(2026, 11, 23, 9, 30, 0, 5, tzinfo=UTC), "2026-11-23T09:30:00.000005Z"),
        (datetime.fromisoformat("2026-11-23T12:30:00+03:00"), "2026-11-23T09:30:00.000000Z"),
    ],
)
async def test_an_instant_is_written_in_utc(instant: datetime, text: str) -> None:
    assert format_instant(instant) == text
