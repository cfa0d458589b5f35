"""Whoever deletes their account is forgotten: at once for others, and after CREMA_ERASE_AFTER in every table and file.

By HTTP and the worker's own loop, on a database of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, text

from crema import worker
from crema.accounts.models import User
from crema.db.session import Sessions
from crema.media.deps import MediaState
from crema.orders.schemas import PlaceOrder
from crema.support.models import Conversation
from crema.web.state import state_of
from crema.worker import WorkerContext
from factories.orders import make_shop, make_simple_product
from fixtures.app import Clock, clients
from fixtures.people import PersonMade, make_person
from fixtures.worker import run_task

pytestmark = pytest.mark.anyio

SECRET = "zq-secret"
PHONE = "+79167654321"
CODES = {"customer_name", "payment_method", "promo_code", "quote_id", "source"}
"""Fields of an order that are text and hold nothing that customers write."""
COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'bytea', 'ARRAY')
"""


@pytest.fixture
async def customer(own_app: FastAPI, clock: Clock) -> AsyncIterator[httpx2.AsyncClient]:
    clock.now = datetime.now(UTC) - timedelta(days=31)
    person = await make_person(own_app, email=f"{SECRET}@example.com", name=f"{SECRET} name")
    async with clients(own_app, person.token) as (client,):
        client.person = person
        yield client


async def found(sessions: Sessions, *needles: str) -> set[str]:
    """Look through every text of every table; give where something was found."""
    places = set()
    async with sessions() as session:
        for table, column in (await session.execute(text(COLUMNS))).all():
            is_there = " OR ".join(
                f"row_.\"{column}\"::text LIKE '%' || :needle{n} || '%'" for n in range(len(needles))
            )
            encoded = [needle.encode().hex() for needle in needles]
            is_there += "".join(
                f" OR row_.\"{column}\"::text LIKE '%' || :hex{n} || '%'" for n in range(len(needles))
            )  # bytes read as hexadecimal digits
            values = {f"needle{n}": needle for n, needle in enumerate(needles)}
            values |= {f"hex{n}": needle for n, needle in enumerate(encoded)}
            statement = text(f'SELECT EXISTS (SELECT FROM "{table}" row_ WHERE {is_there})')  # noqa: S608 - no input
            if await session.scalar(statement, values):
                places.add(f"{table}.{column}")
    return places


def texts_of_an_order() -> dict[str, str]:
    """Fill every free text that an order takes."""
    return {
        name: f"{SECRET} {name}"
        for name, field in PlaceOrder.model_fields.items()
        if name not in CODES and str in (field.annotation, *get_args(field.annotation))
    }


async def leave_traces(app: FastAPI, customer: httpx2.AsyncClient, *, shop: UUID, product: UUID) -> dict[str, Any]:
    """Write something wherever one can; give the conversation and the number of an order in progress."""
    support = await make_person(app, email="support@example.com", role="support")
    item = {"product_id": str(product), "note": f"{SECRET} note"}
    order = {"shop_id": str(shop), "items": [item]} | texts_of_an_order()
    async with clients(app, support.token) as (ours,):
        chat = (await customer.post("/chat")).json()["id"]
        files = {"file": (f"{SECRET}.pdf", f"%PDF-1.7\n{SECRET}".encode(), "application/pdf")}
        attachment = (await customer.post(f"/chat/{chat}/attachments", files=files)).json()
        sent = {"text": f"{SECRET} {PHONE}", "attachment_id": attachment["id"], "client_id": SECRET}
        cancelled = (await customer.post("/order", json=order, headers={"Idempotency-Key": SECRET})).json()
        answers = [
            await customer.patch(f"/user/{customer.person.id}", json={"phone": PHONE}),
            await customer.post("/cart", json=item),
            await customer.post(f"/chat/{chat}/messages", json=sent),
            await ours.post(f"/chat/{chat}/messages", json={"text": f"Hello {SECRET}"}),
            await ours.post(f"/chat/{chat}/notes", json={"text": f"{SECRET} called"}),
            await customer.post(f"/order/{cancelled['id']}/cancel", json={"reason": f"{SECRET} reason"}),
            await customer.post("/password/forgot", json={"email": customer.person.email}),
            kept := await customer.post("/order", json=order),
        ]
    assert {answer.status_code for answer in answers} <= {200, 201, 202}, [answer.text for answer in answers]
    return {"chat": chat, "number": kept.json()["number"], "file": attachment["url"]}


async def work(worker_context: WorkerContext, *tasks: str) -> None:
    """Have the worker do these tasks, as if their time had come, and all that is due."""
    jobs = worker.make_jobs(worker_context)
    async with jobs.open_async():
        for task in tasks:
            await jobs.tasks[task].defer_async(timestamp=0)
    running = asyncio.create_task(worker.run(worker_context, fetch_job_polling_interval=0.1))
    try:
        async with asyncio.timeout(30):
            while True:
                async with worker_context.sessions() as session:
                    left = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = ANY(:tasks)"
                    if not await session.scalar(text(left), {"tasks": list(tasks)}):
                        break
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_whoever_is_deleted_is_erased_from_every_table_and_file(
    own_app: FastAPI, own_sessions: Sessions, worker_context: WorkerContext, customer: httpx2.AsyncClient
) -> None:
    """Tried: DELETE /user/me: chat text with a telephone, the passport's PDF, comments and notes stay readable."""
    shop, product = await make_shop(own_sessions), await make_simple_product(own_sessions)
    left = await leave_traces(own_app, customer, shop=shop, product=product)
    written = {"messages.text", "notes.text", "attachments.name", "orders.comment", "order_lines.note", "users.email"}
    assert written | {"order_events.reason", "cart_items.note", "users.phone"} <= await found(
        own_sessions, SECRET, PHONE, PHONE[1:]
    ), "the look sees what is there"

    path = f"/user/{customer.person.id}"
    refused = await customer.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "open_orders")
    assert [order["number"] for order in refused.json()["orders"]] == [left["number"]]
    assert (await customer.delete(path, params={"force": "true"})).status_code == 204

    at_once = await found(own_sessions, SECRET, PHONE, PHONE[1:])
    assert not {place for place in at_once if place.startswith(("users.", "cart_items.", "one_time_codes.", "idem"))}
    async with own_sessions.begin() as session:  # a month later
        await session.execute(text("UPDATE mails SET created_at = created_at - interval '31 days'"))
        await session.execute(text("UPDATE throttles SET window_ends_at = now() - interval '1 day'"))
    await work(worker_context, "accounts.erase", "accounts.cleanup", "records.prune", "mails.prune")

    assert await found(own_sessions, SECRET, PHONE, PHONE[1:]) == set()
    assert [batch async for batch in state_of(own_app, MediaState).store.list(prefix="chat")] in ([], [[]])
    async with own_sessions() as session:
        totals = (await session.execute(text("SELECT total, status FROM orders"))).all()
        products = (await session.execute(text("SELECT name, quantity FROM order_lines"))).all()
    assert [(str(total), status) for total, status in totals] == [("250.00", "cancelled")] * 2
    assert products == [("Круассан", 1)] * 2, "accounting keeps amounts and products"


async def test_before_its_time_nothing_is_erased(
    own_app: FastAPI, own_sessions: Sessions, worker_context: WorkerContext, customer: httpx2.AsyncClient
) -> None:
    chat = (await customer.post("/chat")).json()["id"]
    await customer.post(f"/chat/{chat}/messages", json={"text": SECRET})
    assert (await customer.delete(f"/user/{customer.person.id}")).status_code == 204

    await work(replace(worker_context, erase_after=timedelta(days=32)), "accounts.erase")

    async with own_sessions() as session:
        assert await session.scalar(select(User.erased_at).where(User.id == customer.person.id)) is None
    assert "messages.text" in await found(own_sessions, SECRET)


async def test_what_is_erased_reads_as_an_empty_conversation(
    own_app: FastAPI, own_sessions: Sessions, worker_context: WorkerContext, customer: httpx2.AsyncClient
) -> None:
    support: PersonMade = await make_person(own_app, email="support@example.com", role="support")
    chat = (await customer.post("/chat")).json()["id"]
    await customer.post(f"/chat/{chat}/messages", json={"text": SECRET})
    await customer.delete(f"/user/{customer.person.id}")

    await work(worker_context, "accounts.erase")

    async with clients(own_app, support.token) as (ours,):
        shown = (await ours.get(f"/chat/{chat}")).json()
        messages = (await ours.get(f"/chat/{chat}/messages")).json()
    assert (shown["last_seq"], shown["status"], messages["items"]) == (0, "resolved", [])
    async with own_sessions() as session:
        updated_at = await session.scalar(select(Conversation.updated_at))
        erased_at = await session.scalar(select(User.erased_at).where(User.id == customer.person.id))
    assert updated_at
    assert erased_at
    assert updated_at < erased_at, "nothing was said"


async def test_a_file_that_can_t_be_deleted_yet_is_not_forgotten(
    own_app: FastAPI, own_sessions: Sessions, worker_context: WorkerContext, customer: httpx2.AsyncClient
) -> None:
    chat = (await customer.post("/chat")).json()["id"]
    files = {"file": ("passport.pdf", b"%PDF-1.7\n", "application/pdf")}
    upload = (await customer.post(f"/chat/{chat}/attachments", files=files)).json()
    await customer.post(f"/chat/{chat}/messages", json={"attachment_id": upload["id"]})
    await customer.delete(f"/user/{customer.person.id}")

    class Away:
        async def delete_async(self, _: str) -> None:
            raise OSError("the store is away")

    away = worker.erasures(replace(worker_context.media, store=Away()))  # type: ignore[arg-type]  # it only fails
    with pytest.raises(OSError, match="away"):
        await run_task(replace(worker_context, erasures=away), "accounts.erase", timestamp=0)
    assert "attachments.name" in await found(own_sessions, "passport")

    await work(worker_context, "accounts.erase")
    assert await found(own_sessions, "passport") == set()


async def test_the_names_of_who_ordered_at_the_counter_are_erased_after_a_month(
    own_app: FastAPI, own_sessions: Sessions, worker_context: WorkerContext
) -> None:
    """Nobody has an account there that could be deleted; what was sold stays."""
    shop, product = await make_shop(own_sessions), await make_simple_product(own_sessions)
    barista = await make_person(own_app, email="barista@example.com", role="barista", shop_ids=(shop,))
    body = {"items": [{"product_id": str(product)}], "source": "counter"}
    async with clients(own_app, barista.token) as (client,):
        old, new = [
            (await client.post("/order", json=body | {"customer_name": name})).json()
            for name in (f"{SECRET} Пётр", "Павел")
        ]
        async with own_sessions.begin() as session:
            for order, days in ((old, 31), (new, 29)):
                placed_at = datetime.now(UTC) - timedelta(days=days)
                placed = text("UPDATE orders SET created_at = :placed_at WHERE id = :id")
                await session.execute(placed, {"placed_at": placed_at, "id": UUID(order["id"])})
            await session.execute(text("UPDATE mails SET created_at = now() - interval '31 days'"))
        assert "orders.customer_name" in await found(own_sessions, SECRET)

        await work(worker_context, "orders.erase_names", "mails.prune")

        seen = [(await client.get(f"/order/{order['id']}")).json() for order in (old, new)]
    assert await found(own_sessions, SECRET) == set()
    assert [(order["customer_name"], order["total"]) for order in seen] == [("", "250.00"), ("Павел", "250.00")]
