"""Rivals for the slots of a shop: never over what a slot holds, never under, and nothing is given back twice.

`CREMA_SLOT_BUYERS` and `CREMA_SLOT_ROUNDS` set how many buy at once, and how often: 200 and 20 in the long form.
"""

import asyncio
import os
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from crema.db.session import Sessions
from crema.db.statement import Statement
from crema.orders.domain import FINAL
from crema.orders.models import Order, SlotBooking
from crema.orders.service import slots, transitions
from crema.shops.models import Shop, WorkSlot
from factories.orders import make_shop, make_simple_product
from fixtures.app import Clock, connect
from fixtures.people import make_person

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient_database")]
BUYERS = int(os.environ.get("CREMA_SLOT_BUYERS", "24"))
ROUNDS = int(os.environ.get("CREMA_SLOT_ROUNDS", "3"))
CUPS = 5
OPENING = "2026-11-23T10:05:00Z"
"""The shop opens at ten in UTC: there is no slot before this one."""


@pytest.fixture
async def shop_id(own_sessions: Sessions) -> UUID:
    """A shop that makes five cups in ten minutes."""
    shop_id = await make_shop(own_sessions, hours=(13 * 60, 22 * 60))
    async with own_sessions.begin() as session:
        await session.execute(update(Shop).values(seconds_per_slot=CUPS * 120, lead_seconds=0))
    return shop_id


@pytest.fixture
async def tea(own_sessions: Sessions, shop_id: UUID) -> UUID:
    return await make_simple_product(own_sessions, preparation_seconds=120)


async def people(stack: AsyncExitStack, app: FastAPI, count: int, **rights: Any) -> list[httpx2.AsyncClient]:
    """Log in so many people, each of whom places orders beside the others."""
    found = []
    for number in range(count):
        person = await make_person(app, email=f"{rights.get('role', 'user')}{number}@example.com", **rights)
        found.append(await stack.enter_async_context(connect(app, person.token)))
    return found


async def used_seconds(sessions: Sessions) -> Counter[Any]:
    """Return what is booked by slot, having seen that it is what orders in progress have booked."""
    async with sessions() as session:
        used = Counter({row.starts_at: row.used_seconds for row in await session.scalars(select(WorkSlot))})
        rows = select(SlotBooking.starts_at, func.sum(SlotBooking.seconds)).group_by(SlotBooking.starts_at)
        of_orders = Counter(dict(list(await session.execute(rows))))
        final = select(func.count()).select_from(SlotBooking).join(Order).where(Order.status.in_(FINAL))
        assert await session.scalar(final) == 0
    assert +used == of_orders
    return +used


async def buy(client: httpx2.AsyncClient, tea: UUID) -> httpx2.Response:
    return await client.post("/order", json={"items": [{"product_id": str(tea)}], "pickup_at": OPENING})


async def sell_one_slot(app: FastAPI, sessions: Sessions, tea: UUID, *, rounds: int) -> list[tuple[Counter[str], int]]:
    """Let everybody want the same slot, round by round; return the answers, and the seconds that were booked."""
    found = []
    async with AsyncExitStack() as stack:
        buyers = await people(stack, app, BUYERS)
        for _ in range(rounds):
            answers = await asyncio.gather(*(buy(each, tea) for each in buyers))
            codes = Counter(answer.json().get("code", "placed") for answer in answers)
            found.append((codes, (await used_seconds(sessions)).total()))
            placed = [(each, answer) for each, answer in zip(buyers, answers, strict=True) if answer.status_code == 201]
            cancelled = [each.post(f"/order/{answer.json()['id']}/cancel") for each, answer in placed for _ in range(2)]
            assert {answer.status_code for answer in await asyncio.gather(*cancelled)} == {200}
            assert not await used_seconds(sessions), "all is given back, once"
    return found


async def test_a_slot_is_sold_to_as_many_as_it_holds_however_many_want_it(
    own_app: FastAPI, own_sessions: Sessions, tea: UUID
) -> None:
    for codes, seconds in await sell_one_slot(own_app, own_sessions, tea, rounds=ROUNDS):
        assert codes == {"placed": CUPS, "slot_full": BUYERS - CUPS}
        assert seconds == CUPS * 120


async def test_without_the_guard_a_slot_is_oversold(
    own_app: FastAPI, own_sessions: Sessions, tea: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: what was free when the order was planned is taken as free."""
    wanted = slots._WANTED.c
    unguarded = insert(WorkSlot).from_select(
        ["shop_id", "starts_at", "used_seconds"], select(slots._SHOP_ID, wanted.starts_at, wanted.seconds)
    )
    unguarded = unguarded.on_conflict_do_update(
        index_elements=["shop_id", "starts_at"],
        set_={"used_seconds": WorkSlot.used_seconds + unguarded.excluded.used_seconds},
    ).returning(WorkSlot.starts_at)
    monkeypatch.setattr(slots, "_BOOK", Statement(unguarded))

    ((codes, seconds),) = await sell_one_slot(own_app, own_sessions, tea, rounds=1)

    assert codes["placed"] > CUPS
    assert seconds > CUPS * 120


async def one_of_a_storm(
    client: httpx2.AsyncClient, tea: UUID, chance: random.Random, other: list[UUID]
) -> list[httpx2.Response]:
    """Place, move, edit and cancel at random over a few neighbouring slots, so that all of them are wanted by all."""
    answers = []
    for _ in range(6):
        pickup_at = f"2026-11-23T10:{chance.randrange(60):02}:00Z"
        cups = [{"product_id": str(tea), "quantity": chance.randint(1, 2 * CUPS)}]
        placed = await client.post("/order", json={"items": cups, "pickup_at": pickup_at})
        answers.append(placed)
        if placed.status_code != 201:
            continue
        path = f"/order/{placed.json()['id']}"
        other.append(UUID(placed.json()["id"]))
        moved = f"2026-11-23T10:{chance.randrange(60):02}:30Z"
        answers.append(await client.patch(path, json={"pickup_at": moved}))
        cups = [{"product_id": str(tea), "quantity": chance.randint(1, CUPS)}]
        answers.append(await client.patch(path, json={"items": cups}))
        if chance.random() < 0.6:
            answers.append(await client.post(f"{path}/cancel"))
    return answers


async def staff_of_a_storm(
    client: httpx2.AsyncClient, chance: random.Random, other: list[UUID]
) -> list[httpx2.Response]:
    """Move and cancel several orders of others at once."""
    answers = []
    for _ in range(10):
        some = chance.sample(other, min(4, len(other)))
        if some:
            body = {"order_ids": [str(each) for each in some], "status": chance.choice(["cancelled", "accepted"])}
            answers.append(await client.post("/orders/advance", json=body))
        await asyncio.sleep(0)
    return answers


async def test_a_storm_over_neighbouring_slots_has_no_deadlock_and_loses_nothing(
    own_app: FastAPI, own_sessions: Sessions, shop_id: UUID, tea: UUID
) -> None:
    other: list[UUID] = []
    async with AsyncExitStack() as stack:
        customers = await people(stack, own_app, 8)
        baristas = await people(stack, own_app, 3, role="barista", shop_ids=(shop_id,))
        chances = [random.Random(seed) for seed in range(len(customers) + len(baristas))]  # noqa: S311 - no secret
        storms = [one_of_a_storm(each, tea, chances.pop(), other) for each in customers]
        storms += [staff_of_a_storm(each, chances.pop(), other) for each in baristas]
        answers = [answer for found in await asyncio.gather(*storms) for answer in found]

    codes = Counter(answer.json().get("code", "") for answer in answers if answer.status_code >= 400)
    assert {*codes} <= {"slot_full", "order_not_editable", "illegal_transition", "too_many_open_orders"}
    assert codes["slot_full"], "the slots were wanted by all"
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert max((await used_seconds(own_sessions)).values()) <= CUPS * 120


async def order_by_one_quote(app: FastAPI, sessions: Sessions, tea: UUID) -> list[int]:
    """Let several people order at once by a quote that is nobody's in particular."""
    body = {"items": [{"product_id": str(tea)}], "pickup_at": OPENING}
    async with AsyncExitStack() as stack:
        buyers = await people(stack, app, CUPS)
        anybody = await stack.enter_async_context(connect(app))
        quote = (await anybody.post("/quote", json=body)).json()
        answers = await asyncio.gather(
            *(each.post("/order", json=body | {"quote_id": quote["quote_id"]}) for each in buyers)
        )
    await used_seconds(sessions)
    return sorted(answer.status_code for answer in answers)


async def test_one_quote_is_one_order_whoever_orders_by_it(own_app: FastAPI, own_sessions: Sessions, tea: UUID) -> None:
    assert await order_by_one_quote(own_app, own_sessions, tea) == [201] + [409] * (CUPS - 1)


async def test_without_the_unique_column_one_quote_is_several_orders(
    own_app: FastAPI, own_sessions: Sessions, tea: UUID
) -> None:
    """The twin."""
    async with own_sessions.begin() as session:
        await session.execute(text("ALTER TABLE orders DROP CONSTRAINT uq_orders_quote_id"))

    assert await order_by_one_quote(own_app, own_sessions, tea) == [201] * CUPS


async def test_an_order_accepted_at_the_last_moment_is_accepted_or_expires_and_never_both(
    own_app: FastAPI, own_sessions: Sessions, clock: Clock, shop_id: UUID, tea: UUID
) -> None:
    async def expire() -> int:
        async with own_sessions.begin() as session:
            return await transitions.expire_unaccepted(
                session, shop_id=shop_id, within=timedelta(minutes=10), now=clock.now, limit=1
            )

    clock.advance(hours=1)  # the shop opens
    async with AsyncExitStack() as stack:
        customers = await people(stack, own_app, CUPS)
        (barista,) = await people(stack, own_app, 1, role="barista", shop_ids=(shop_id,))
        body = {"items": [{"product_id": str(tea)}]}
        orders = [(await each.post("/order", json=body)).json()["id"] for each in customers]
        clock.advance(minutes=10)
        accepting = [barista.patch(f"/order/{each}", json={"status": "accepted"}) for each in orders]
        answers, expired = await asyncio.gather(asyncio.gather(*accepting), asyncio.gather(*(expire() for _ in orders)))

    accepted = sum(answer.status_code == 200 for answer in answers)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert accepted + sum(expired) == CUPS
    assert (await used_seconds(own_sessions)).total() == accepted * 120
