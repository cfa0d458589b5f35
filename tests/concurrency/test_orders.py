"""Rivals at the counter: truly parallel requests that truly commit, and twins whose guard is off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import bindparam, delete, func, insert, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import deps
from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.cart import service as carts
from crema.cart.models import Cart, CartItem
from crema.cart.queries import ITEM_COLUMNS, StoredItem, stored_item
from crema.db.driver import Writer
from crema.db.session import Sessions
from crema.db.statement import Statement
from crema.orders import queries
from crema.orders.deps import OrdersState
from crema.orders.domain import Customer
from crema.orders.models import Order, OrderEvent, OrderLine, OrderNumberCounter
from crema.orders.service import numbering, placing
from crema.shops import service as shops
from crema.shops.deps import ShopsState
from crema.shops.domain import ShopState, SpecialDay
from crema.shops.schemas import StatusPatch
from crema.shops.service import Closing
from crema.web.state import WebState, state_of
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import change_state, connect
from fixtures.people import make_person

pytestmark = pytest.mark.anyio
RIVALS = 8


@pytest.fixture
async def shop_id(own_sessions: Sessions) -> UUID:
    return await make_shop(own_sessions)


@pytest.fixture
async def product_id(own_sessions: Sessions, shop_id: UUID) -> UUID:
    return await make_simple_product(own_sessions)


@pytest.fixture
async def customer(own_app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    person = await make_person(own_app, email="anna@example.com")
    async with connect(own_app, person.token) as client:
        yield client


@pytest.fixture
async def barista(own_app: FastAPI, shop_id: UUID) -> AsyncIterator[httpx2.AsyncClient]:
    person = await make_person(own_app, email="barista@example.com", role="barista", shop_ids=(shop_id,))
    async with connect(own_app, person.token) as client:
        yield client


async def count(sessions: Sessions, table: type[Any]) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def together(*requests: Any) -> list[int]:
    return sorted(response.status_code for response in await asyncio.gather(*requests))


async def order_one_cart(client: httpx2.AsyncClient, product_id: UUID) -> list[int]:
    await client.post("/cart", json={"product_id": str(product_id)})
    return await together(*(client.post("/order", json={}) for _ in range(RIVALS)))


async def test_r1_one_cart_is_one_order_whoever_presses_when(
    customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    for round_ in range(1, 6):
        assert await order_one_cart(customer, product_id) == [201] + [409] * (RIVALS - 1)
        assert await count(own_sessions, Order) == round_


async def test_r1_reading_the_cart_before_emptying_it_would_sell_it_twice(
    customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: read, then delete, and no lock on the person."""

    reading = Statement(select(*ITEM_COLUMNS).join(Cart).where(Cart.user_id == bindparam("user_id")))
    deleting = Statement(delete(CartItem).where(CartItem.id == bindparam("item_id")))

    async def empty_unguarded(tx: Writer, *, user_id: UUID) -> tuple[list[StoredItem], None]:
        items = [stored_item(row) for row in await reading.rows(tx, user_id=user_id)]
        await asyncio.sleep(0.05)  # what the guard has to withstand
        for item in items:
            await deleting.rows(tx, item_id=item.id)
        return items, None

    async def no_lock(_: Writer, user_id: UUID) -> Customer:
        return Customer(user_id, name=None, phone=None, email="somebody@example.com", language="en")

    monkeypatch.setattr(carts, "empty_and_return", empty_unguarded)
    monkeypatch.setattr(placing, "_lock_person", no_lock)

    await order_one_cart(customer, product_id)

    assert await count(own_sessions, Order) > 1


async def test_an_order_in_flight_does_not_swallow_what_is_added_meanwhile(
    customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    for _ in range(10):
        await customer.post("/cart", json={"product_id": str(product_id)})
        await asyncio.gather(
            customer.post("/order", json={}),
            customer.post("/cart", json={"product_id": str(product_id), "note": "late"}),
        )
        await customer.post("/order", json={})

    async with own_sessions() as session:
        sold = await session.scalar(select(func.sum(OrderLine.quantity)))
    assert sold == 20
    assert await count(own_sessions, CartItem) == 0


async def test_equal_items_added_side_by_side_add_up(
    customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    statuses = await together(
        *(customer.post("/cart", json={"product_id": str(product_id), "quantity": 7}) for _ in range(RIVALS))
    )

    assert statuses == [201] * 7 + [422], "7 times 7 is 49, and 50 is the most"
    assert (await customer.get("/cart")).json()["items"][0]["quantity"] == 49
    assert await count(own_sessions, Cart) == 1


async def same_key(client: httpx2.AsyncClient, product_id: UUID, key: str) -> list[httpx2.Response]:
    body = {"items": [{"product_id": str(product_id)}]}
    return list(
        await asyncio.gather(
            *(client.post("/order", json=body, headers={"Idempotency-Key": key}) for _ in range(RIVALS))
        )
    )


async def test_r8_one_key_is_one_order_and_one_answer(
    customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    for round_ in range(1, 11):
        answers = await same_key(customer, product_id, str(round_))

        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
        for busy in (answer for answer in answers if answer.status_code == 409):
            assert (busy.json()["code"], busy.headers["retry-after"]) == ("idempotency_in_progress", "1")
        assert await count(own_sessions, Order) == round_


async def test_r8_without_the_record_one_key_would_be_many_orders(
    customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: the key is ignored."""

    async def forget(*_: Any, **__: Any) -> None:
        pass

    monkeypatch.setattr(deps, "answer_once", forget)

    await same_key(customer, product_id, "k")

    assert await count(own_sessions, Order) == RIVALS


async def cancel_against_accept(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, product_id: UUID
) -> list[int]:
    order = await place(customer, product_id)
    path = f"/order/{order['id']}"
    requests = [customer.post(f"{path}/cancel", json={}) for _ in range(3)]
    requests.append(barista.patch(path, json={"status": "accepted"}))
    return await together(*requests)


async def test_r4_an_order_is_cancelled_once_and_its_history_has_no_gap(
    customer: httpx2.AsyncClient, barista: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    for _ in range(10):
        statuses = await cancel_against_accept(customer, barista, product_id)
        assert statuses[:3] == [200, 200, 200]  # it is cancelled, whoever asked first
        assert statuses[3] in {200, 409}

    assert await broken_histories(own_sessions) == 0
    async with own_sessions() as session:
        cancels = await session.scalar(select(func.count()).where(OrderEvent.status == "cancelled"))
    assert cancels == 10


async def broken_histories(sessions: Sessions) -> int:
    """Count events whose `from_status` isn't the status of the event before."""
    before = func.lag(OrderEvent.status).over(partition_by=OrderEvent.order_id, order_by=OrderEvent.id)
    events = select(OrderEvent.from_status, before.label("before")).subquery()
    async with sessions() as session:
        broken = select(func.count()).where(events.c.from_status.is_distinct_from(events.c.before))
        return await session.scalar(broken) or 0


async def test_r4_without_the_row_lock_the_history_would_break(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    own_sessions: Sessions,
    product_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin: the order is read, not locked."""

    async def unlocked(session: Any, *, order_id: UUID, actor: Any) -> Order:
        order = await queries.get_order(session, order_id=order_id, actor=actor)
        await asyncio.sleep(0.05)
        return order

    monkeypatch.setattr(queries, "get_order_for_update", unlocked)

    await cancel_against_accept(customer, barista, product_id)

    assert await broken_histories(own_sessions) > 0


async def test_numbers_of_a_shop_and_day_never_repeat(
    own_app: FastAPI, own_sessions: Sessions, product_id: UUID
) -> None:
    people = [await make_person(own_app, email=f"p{n}@example.com") for n in range(RIVALS)]
    clients = [connect(own_app, person.token) for person in people]

    orders = await asyncio.gather(*(place(client, product_id) for client in clients for _ in range(3)))

    for client in clients:
        await client.aclose()
    letter = orders[0]["number"][0]
    assert sorted(order["number"] for order in orders) == [f"{letter}-{n:03d}" for n in range(1, 3 * RIVALS + 1)]


async def test_a_person_gets_no_more_open_orders_than_allowed(
    own_app: FastAPI, customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    change_state(own_app, OrdersState, settings=replace(state_of(own_app, OrdersState).settings, max_open_orders=3))
    body = {"items": [{"product_id": str(product_id)}]}

    statuses = await together(*(customer.post("/order", json=body) for _ in range(RIVALS)))

    assert statuses == [201] * 3 + [409] * (RIVALS - 3)


Close = Callable[..., Awaitable[object]]


async def no_hours(session: AsyncSession, *, closing: Closing, **shop: Any) -> None:
    await shops.set_hours(session, intervals=[], closing=closing, **shop)


async def a_closed_day(session: AsyncSession, *, closing: Closing, **shop: Any) -> None:
    today = SpecialDay(date(2026, 11, 23))
    await shops.set_special_days(session, special_days=[today], closing=closing, **shop)


async def a_pause(session: AsyncSession, *, closing: Closing, **shop: Any) -> None:
    del closing
    await shops.change_status(session, changes=StatusPatch(state=ShopState.PAUSED), **shop)


CLOSED_BY = pytest.mark.parametrize("close", [no_hours, a_closed_day, a_pause])


async def order_while_closed(
    app: FastAPI, sessions: Sessions, shop_id: UUID, product_id: UUID, close: Close
) -> tuple[int, int]:
    """Close a shop, and commit once an order waits for that. Give the order's status, and how many orders there are."""
    anna = await make_person(app, email="anna@example.com")
    admin = await make_person(app, email="admin@example.com", role="admin")
    now = state_of(app, WebState).clock()
    async with connect(app, anna.token) as client, sessions.begin() as session:
        actor = await accounts.find_actor(session, user_id=admin.id, session_id=admin.session_id, now=now)
        assert actor is not None
        closing = Closing(state_of(app, ShopsState).before_closing, force=False)
        await close(session, actor=actor, shop_id=shop_id, closing=closing, now=now)
        body = {"shop_id": str(shop_id), "items": [{"product_id": str(product_id)}]}
        placing_one = asyncio.ensure_future(client.post("/order", json=body))
        await until_waiting_or_done(sessions, placing_one)
        await session.commit()
        answer = await placing_one
    return answer.status_code, await count(sessions, Order)


async def until_waiting_or_done(sessions: Sessions, request: asyncio.Future[httpx2.Response]) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10):
        while not request.done():
            async with sessions() as session:
                if await session.scalar(waiting):
                    return
            await asyncio.sleep(0.01)


@CLOSED_BY
async def test_nobody_orders_at_a_shop_that_is_being_closed(
    own_app: FastAPI, own_sessions: Sessions, shop_id: UUID, product_id: UUID, close: Close
) -> None:
    assert await order_while_closed(own_app, own_sessions, shop_id, product_id, close) == (409, 0)


@CLOSED_BY
async def test_unless_the_shop_is_held_as_it_was_read_an_order_would_come_to_a_closed_one(
    own_app: FastAPI,
    own_sessions: Sessions,
    shop_id: UUID,
    product_id: UUID,
    close: Close,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin."""
    unheld = insert(OrderNumberCounter).values(
        shop_id=bindparam("shop_id"), business_date=bindparam("business_date"), last=1
    )
    monkeypatch.setattr(numbering, "_COUNT_UP_AT_SHOP_AS_READ", Statement(unheld.returning(OrderNumberCounter.last)))

    assert await order_while_closed(own_app, own_sessions, shop_id, product_id, close) == (201, 1)


async def test_orders_of_a_shop_that_is_renamed_meanwhile_are_placed(
    own_app: FastAPI, customer: httpx2.AsyncClient, own_sessions: Sessions, shop_id: UUID, product_id: UUID
) -> None:
    admin = await make_person(own_app, email="admin@example.com", role="admin")
    body = {"items": [{"product_id": str(product_id)}]}
    async with connect(own_app, admin.token) as manager:
        renamings = [manager.patch(f"/shop/{shop_id}", json={"name": f"Арбат {n}"}) for n in range(RIVALS)]
        orders = [customer.post("/order", json=body) for _ in range(RIVALS)]
        statuses = await together(*(each for pair in zip(orders, renamings, strict=True) for each in pair))

    assert statuses == [200] * RIVALS + [201] * RIVALS


async def advance_both_ways(barista: httpx2.AsyncClient, orders: list[str]) -> list[int]:
    def body(ids: list[str]) -> dict[str, Any]:
        return {"order_ids": ids, "status": "accepted"}

    return await together(
        *(barista.post("/orders/advance", json=body(ids)) for _ in range(RIVALS) for ids in (orders, orders[::-1]))
    )


async def test_baristas_who_advance_the_same_orders_the_other_way_round_do_not_block_each_other(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    own_sessions: Sessions,
    product_id: UUID,
) -> None:
    orders = [(await place(customer, product_id))["id"] for _ in range(5)]

    assert await advance_both_ways(barista, orders) == [200] * 2 * RIVALS

    async with own_sessions() as session:
        accepted = select(func.count()).where(OrderEvent.status == "accepted")
        assert await session.scalar(accepted) == len(orders), "each moved once"


async def test_unless_orders_are_locked_each_barista_would_move_them(
    customer: httpx2.AsyncClient,
    barista: httpx2.AsyncClient,
    own_sessions: Sessions,
    product_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin."""
    everyone_has_read = asyncio.Barrier(2 * RIVALS)

    async def unlocked(session: AsyncSession, *, order_ids: list[UUID], actor: Actor) -> list[Order]:
        found = [await queries.get_order(session, order_id=order_id, actor=actor) for order_id in sorted(order_ids)]
        await everyone_has_read.wait()
        return found

    monkeypatch.setattr(queries, "list_for_update", unlocked)
    orders = [(await place(customer, product_id))["id"] for _ in range(2)]

    await advance_both_ways(barista, orders)

    async with own_sessions() as session:
        accepted = select(func.count()).where(OrderEvent.status == "accepted")
        assert await session.scalar(accepted) == len(orders) * 2 * RIVALS


WEDNESDAY_NOON = "2026-11-25T09:00:00Z"


async def move_to_wednesday(
    app: FastAPI, customer: httpx2.AsyncClient, sessions: Sessions, product_id: UUID
) -> list[httpx2.Response | BaseException]:
    """Move two orders at once to a day on which the numbers of both are taken."""
    orders = [await place(customer, product_id) for _ in range(2)]
    async with sessions.begin() as session:
        taken = select(Order.shop_id, Order.user_id, Order.number, Order.ready_estimate_at)
        for shop_id, user_id, number, at in (await session.execute(taken)).all():
            values = {"shop_id": shop_id, "user_id": user_id, "number": number, "ready_estimate_at": at, "start_at": at}
            day = date(2026, 11, 25)
            session.add(
                Order(
                    **values, business_date=day, status="completed", subtotal=0, total=0, currency="RUB", created_at=at
                )
            )
    body = {"pickup_at": WEDNESDAY_NOON}
    requests = (customer.patch(f"/order/{order['id']}", json=body) for order in orders)
    return list(await asyncio.gather(*requests, return_exceptions=True))


async def test_two_orders_moved_at_once_to_a_day_where_their_numbers_are_taken_get_two_new_ones(
    own_app: FastAPI, customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    answers = await move_to_wednesday(own_app, customer, own_sessions, product_id)

    assert all(isinstance(answer, httpx2.Response) and answer.status_code == 200 for answer in answers)
    numbers = {answer.json()["number"] for answer in answers if isinstance(answer, httpx2.Response)}
    assert numbers == {"L-001", "L-002"}


async def test_unless_moved_orders_take_turns_on_the_counter_both_would_want_one_number(
    own_app: FastAPI,
    customer: httpx2.AsyncClient,
    own_sessions: Sessions,
    product_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The twin: the counter is read, not counted up, and only the constraint is left."""
    both_have_read = asyncio.Barrier(2)

    class Unguarded:
        async def row(self, _: AsyncSession, **__: Any) -> dict[str, int]:
            await both_have_read.wait()
            return {"last": 1}

    monkeypatch.setattr(numbering, "_COUNT_UP", Unguarded())

    answers = await move_to_wednesday(own_app, customer, own_sessions, product_id)

    moved = [answer for answer in answers if isinstance(answer, httpx2.Response) and answer.status_code == 200]
    assert len(moved) == 1


async def test_an_order_placed_while_another_one_moves_to_its_day_has_another_number(
    own_app: FastAPI, customer: httpx2.AsyncClient, own_sessions: Sessions, product_id: UUID
) -> None:
    """Both take numbers of one day at once: those that move there, and those that are placed for it."""
    moving = [await place(customer, product_id) for _ in range(3)]
    async with own_sessions.begin() as session:
        values = select(
            func.gen_random_uuid(), Order.number, literal(date(2026, 11, 25)), literal("completed"), Order.shop_id,
            Order.user_id, Order.ready_estimate_at, Order.start_at, Order.subtotal, Order.total, Order.currency,
        )  # fmt: skip
        names = ["id", "number", "business_date", "status", "shop_id", "user_id"]
        names += ["ready_estimate_at", "start_at", "subtotal", "total", "currency"]
        await session.execute(insert(Order).from_select(names, values))
    items = [{"product_id": str(product_id)}]
    body = {"pickup_at": WEDNESDAY_NOON}

    statuses = await together(
        *(customer.patch(f"/order/{order['id']}", json=body) for order in moving),
        *(customer.post("/order", json=body | {"items": items}) for _ in range(3)),
    )

    assert statuses == [200] * 3 + [201] * 3
    orders = (await customer.get("/orders", params={"status": "placed"})).json()["items"]
    assert sorted(order["number"] for order in orders) == [f"L-{n:03d}" for n in range(1, 7)]
