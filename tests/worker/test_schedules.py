"""Every periodic job, through the worker's own door, on data that it has to do something about."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from procrastinate.exceptions import AlreadyEnqueued
from prometheus_client import REGISTRY
from sqlalchemy import func, select, text, update

from crema import worker
from crema.accounts.models import User
from crema.db import jobs
from crema.db.idempotency import IdempotencyRecord
from crema.db.session import Sessions
from crema.events.models import Event
from crema.menu.service import images
from crema.notifications import service as notifications
from crema.notifications.models import Mail
from crema.notifications.service import OutgoingMail
from crema.orders.models import Order, SlotBooking
from crema.shops.models import Shop, WorkSlot
from crema.web.state import WebState, state_of
from crema.worker import WorkerContext
from factories.menu import add_image, make_product
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import Clock, connect
from fixtures.people import PersonMade, make_person
from fixtures.smtp import Sink
from fixtures.worker import working

pytestmark = pytest.mark.anyio


@dataclass
class World:
    """An app whose clock shows three days ago, and what its worker needs."""

    app: FastAPI
    sessions: Sessions
    context: WorkerContext
    media: Path

    async def person(self, role: str = "user", **fields: Any) -> PersonMade:
        return await make_person(self.app, email=f"{uuid4().hex}@example.com", role=role, **fields)

    @asynccontextmanager
    async def client(self, role: str = "user", **fields: Any) -> AsyncIterator[httpx2.AsyncClient]:
        async with connect(self.app, (await self.person(role, **fields)).token) as client:
            yield client

    async def scalar(self, statement: Any) -> Any:
        async with self.sessions() as session:
            return await session.scalar(statement)


@pytest.fixture
async def world(
    own_app: FastAPI, own_sessions: Sessions, worker_context: WorkerContext, clock: Clock, data_dir: Path
) -> World:
    clock.now = datetime.now(UTC) - timedelta(days=3)
    context = replace(worker_context, erase_after=timedelta(days=1))
    return World(own_app, own_sessions, context, data_dir / "media")


Check = Callable[[], Awaitable[bool]]
"""Whether the job has done its work; False before."""


async def an_unverified_person(world: World) -> Check:
    person = await world.person(is_verified=False)

    async def is_deleted() -> bool:
        return await world.scalar(text("SELECT count(*) FROM users WHERE id = :id").bindparams(id=person.id)) == 0

    return is_deleted


async def an_order_nobody_fetched(world: World) -> Check:
    shop = await make_shop(world.sessions)
    async with world.client() as customer, world.client("barista", shop_ids=(shop,)) as barista:
        order = await place(customer, await make_simple_product(world.sessions), shop_id=str(shop))
        for status in ("accepted", "preparing", "ready"):
            assert (await barista.patch(f"/order/{order['id']}", json={"status": status})).status_code == 200

    async def is_expired() -> bool:
        return await world.scalar(select(Order.status)) == "expired"

    return is_expired


async def an_order_nobody_accepted(world: World) -> Check:
    shop = await make_shop(world.sessions)
    async with world.client() as customer:
        await place(customer, await make_simple_product(world.sessions), shop_id=str(shop))

    async def is_expired() -> bool:
        return await world.scalar(select(Order.status)) == "expired"

    return is_expired


async def a_slot_long_past(world: World) -> Check:
    shop = await make_shop(world.sessions)
    async with world.sessions.begin() as session:
        await session.execute(update(Shop).values(seconds_per_slot=600))
    async with world.client() as customer:
        order = await place(customer, await make_simple_product(world.sessions, preparation_seconds=60))
    old = datetime.now(UTC) - timedelta(days=16)
    async with world.sessions.begin() as session:
        session.add(WorkSlot(shop_id=shop, starts_at=old, used_seconds=1))
        await session.flush()
        session.add(SlotBooking(order_id=UUID(order["id"]), shop_id=shop, starts_at=old, seconds=1))

    async def is_forgotten() -> bool:
        slots = await world.scalar(select(func.count()).select_from(WorkSlot))
        return (slots, await world.scalar(select(func.count()).select_from(SlotBooking))) == (1, 1)

    return is_forgotten


async def an_answer_nobody_read(world: World) -> Check:
    async with world.client() as customer, world.client("support") as support:
        chat = (await customer.post("/chat")).json()["id"]
        await customer.post(f"/chat/{chat}/messages", json={"text": "Где мой латте?"})
        assert (await support.post(f"/chat/{chat}/messages", json={"text": "Готов."})).status_code == 201

    async def is_mailed() -> bool:
        return await world.scalar(select(func.count()).where(Mail.template == "chat_answer")) == 1

    return is_mailed


LONG_AGO = timedelta(days=60)


async def an_old_answer(world: World) -> Check:
    person = await world.person()
    async with world.sessions.begin() as session:
        session.add(
            IdempotencyRecord(
                user_id=person.id,
                route="x",
                key="x",
                request_hash=b"x",
                status=201,
                body=b"x",
                created_at=datetime.now(UTC) - LONG_AGO,
            )
        )

    async def is_gone() -> bool:
        return await world.scalar(select(func.count()).select_from(IdempotencyRecord)) == 0

    return is_gone


async def an_old_mail(world: World) -> Check:
    created_at = datetime.now(UTC) - LONG_AGO
    async with world.sessions.begin() as session:
        session.add(Mail(recipient="a@example.com", template="x", language="en", context={}, created_at=created_at))

    async def is_gone() -> bool:
        return await world.scalar(select(func.count()).select_from(Mail)) == 0

    return is_gone


async def an_old_event(world: World) -> Check:
    old = Event(kind="test", subject_id=uuid4(), data={}, created_at=datetime.now(UTC) - timedelta(days=15))
    async with world.sessions.begin() as session:
        session.add(old)

    async def is_gone() -> bool:
        return await world.scalar(select(func.count()).select_from(Event)) == 0

    return is_gone


async def an_old_failure(world: World) -> Check:
    async with world.sessions.begin() as session:
        await session.execute(select(jobs.defer("x", queue="x", arguments=func.jsonb_build_object())))
        await session.execute(text("UPDATE procrastinate_jobs SET status = 'failed'"))
        await session.execute(text("UPDATE procrastinate_events SET at = now() - interval '2 days'"))

    async def is_gone() -> bool:
        return await world.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'x'")) == 0

    return is_gone


def make_old(world: World) -> None:
    for file in world.media.rglob("*.*"):
        os.utime(file, (state_of(world.app, WebState).clock().timestamp(),) * 2)


def files_in(world: World) -> set[str]:
    return {str(file.relative_to(world.media)) for file in world.media.rglob("*.*")}


async def pictures_nobody_names(world: World) -> Check:
    async with world.client("manager") as manager:
        product = await make_product(manager)
        gone, kept = await add_image(manager, product), await add_image(manager, product)
        await manager.delete(f"/product/{product['id']}/image/{gone['id']}")
    make_old(world)

    async def are_gone() -> bool:
        return files_in(world) == {url.removeprefix("/media/") for url in kept["urls"].values()}

    return are_gone


async def uploads_nobody_sent(world: World) -> Check:
    async with world.client() as customer:
        chat = (await customer.post("/chat")).json()["id"]
        path = f"/chat/{chat}/attachments"
        unsent, sent = [(await customer.post(path, files={"file": ("a.pdf", b"%PDF-1.7")})).json() for _ in range(2)]
        body = {"attachment_id": sent["id"]}
        assert (await customer.post(f"/chat/{chat}/messages", json=body)).status_code == 201
    (world.media / "chat" / f"{'a' * 32}.pdf").write_bytes(b"%PDF-1.7 without a row")
    make_old(world)

    async def are_gone() -> bool:
        keys = await world.scalar(text("SELECT array_agg(key) FROM attachments"))
        assert unsent["id"] != sent["id"]
        return files_in(world) == set(keys) and len(keys) == 1

    return are_gone


async def a_name_at_the_counter(world: World) -> Check:
    shop = await make_shop(world.sessions)
    body = {"items": [{"product_id": str(await make_simple_product(world.sessions))}], "source": "counter"}
    async with world.client("barista", shop_ids=(shop,)) as barista:
        assert (await barista.post("/order", json=body | {"customer_name": "Пётр"})).status_code == 201

    async def is_gone() -> bool:
        return await world.scalar(select(Order.customer_name)) == ""

    return is_gone


async def a_job_of_a_dead_worker(world: World) -> Check:
    async with world.sessions.begin() as session:
        mail = OutgoingMail("anna@example.com", "password_changed", "en", {"name": None})
        await notifications.send(session, [mail])
        await session.execute(
            text(
                "INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE"
                " VALUES (4242, now() - interval '1 hour')"
            )
        )
        await session.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 4242"))

    async def is_taken_up() -> bool:
        async with asyncio.timeout(20):
            while await world.scalar(select(Mail.status).where(Mail.id == mail.id)) != "sent":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return True

    return is_taken_up


async def a_deleted_person(world: World) -> Check:
    person = await world.person()
    deleted = update(User).where(User.id == person.id)
    gone = {
        "deleted_at": state_of(world.app, WebState).clock(),
        "email": None,
        "name": None,
        "phone": None,
        "password_hash": None,
    }
    async with world.sessions.begin() as session:
        await session.execute(deleted.values(gone))

    async def is_done() -> bool:
        return await world.scalar(select(User.erased_at).where(User.id == person.id)) is not None

    return is_done


async def a_mail_past_its_life(world: World) -> Check:
    promised = state_of(world.app, WebState).clock()
    async with world.sessions.begin() as session:
        mail = Mail(
            recipient="x@example.com",
            template="verification_code",
            language="en",
            context={"code": "123456"},
            created_at=promised,
            queued_at=promised,
        )
        session.add(mail)
        await session.flush()
        mail_id = mail.id

    async def is_done() -> bool:
        return await world.scalar(select(Mail.status).where(Mail.id == mail_id)) == "expired"

    return is_done


async def mails_that_failed(world: World) -> Check:
    admin = await world.person("admin")
    async with world.sessions.begin() as session:
        session.add(
            Mail(
                recipient="x@example.com",
                template="order_ready",
                language="en",
                context={},
                status="failed",
                failed_at=datetime.now(UTC) - timedelta(days=1),
            )
        )

    async def is_done() -> bool:
        told = select(func.count()).where(Mail.template == "mails_failed", Mail.recipient == admin.email)
        return await world.scalar(told) == 1

    return is_done


CASES: dict[str, Callable[[World], Awaitable[Check]]] = {
    "accounts.cleanup": an_unverified_person,
    "accounts.erase": a_deleted_person,
    "orders.expire": an_order_nobody_fetched,
    "orders.expire_unaccepted": an_order_nobody_accepted,
    "orders.forget_slots": a_slot_long_past,
    "support.mail_unread": an_answer_nobody_read,
    "orders.erase_names": a_name_at_the_counter,
    "records.prune": an_old_answer,
    "mails.prune": an_old_mail,
    "media.sweep": pictures_nobody_names,
    "support.sweep": uploads_nobody_sent,
    "jobs.rescue": a_job_of_a_dead_worker,
    "events.prune": an_old_event,
    "jobs.prune": an_old_failure,
    "mails.expire": a_mail_past_its_life,
    "mails.tell_admins": mails_that_failed,
}


async def run_job(world: World, task: str) -> str:
    """Have a worker do one job of this task; tell how it ended."""
    async with worker.make_jobs(world.context).open_async() as queue:
        try:
            job_id = await queue.configure_task(task).defer_async(timestamp=0)
        except AlreadyEnqueued:
            newest = text("SELECT max(id) FROM procrastinate_jobs WHERE task_name = :task").bindparams(task=task)
            job_id = await world.scalar(newest)
    status = text("SELECT status::text FROM procrastinate_jobs WHERE id = :id").bindparams(id=job_id)
    async with asyncio.timeout(30):
        while (now := await world.scalar(status)) in ("todo", "doing"):  # noqa: ASYNC110 - another connection's work
            await asyncio.sleep(0.05)
    return now or "succeeded"


async def test_every_periodic_job_has_a_case(world: World) -> None:
    tasks = {task for task, _ in worker.make_jobs(world.context).periodic_registry.periodic_tasks}

    assert tasks == CASES.keys()


@pytest.mark.parametrize("task", CASES)
async def test_a_periodic_job_does_its_work_as_the_worker_runs_it(world: World, task: str) -> None:
    is_done = await CASES[task](world)

    async with working(world.context):
        assert await run_job(world, task) == "succeeded"
        assert await is_done()


def measured(name: str, task: str) -> float:
    return REGISTRY.get_sample_value(name, {"task": task}) or 0


async def test_a_failing_job_is_counted_and_told_to_the_administrators_once_a_day(
    world: World, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    russian, english = await world.person("admin"), await world.person("admin")
    async with world.sessions.begin() as session:
        await session.execute(text("UPDATE users SET language = 'ru' WHERE id = :id").bindparams(id=russian.id))
        await session.execute(text("UPDATE users SET language = 'en' WHERE id = :id").bindparams(id=english.id))
    whole = images.sweep

    async def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk of anna@example.com is full")

    failures = measured("crema_job_failures_total", "media.sweep")
    async with working(world.context):
        monkeypatch.setattr(images, "sweep", broken)
        ends = [await run_job(world, "media.sweep") for _ in range(2)]
        async with asyncio.timeout(20):
            while len(sink.messages) < 2:  # noqa: ASYNC110 - another thread's
                await asyncio.sleep(0.05)
        monkeypatch.setattr(images, "sweep", whole)
        before = measured("crema_job_last_success_timestamp_seconds", "media.sweep")
        assert await run_job(world, "media.sweep") == "succeeded"

    assert ends == ["failed", "failed"]
    counted = measured("crema_job_failures_total", "media.sweep") - failures
    assert counted >= 2  # the schedule may have had its turn meanwhile
    assert measured("crema_job_last_success_timestamp_seconds", "media.sweep") > before
    assert {message["To"]: message["Subject"] for message in sink.messages} == {
        russian.email: "Ошибка фонового задания: media.sweep",
        english.email: "Background job failed: media.sweep",
    }
    assert await world.scalar(select(func.count()).where(Mail.template == "job_failed")) == 2
    assert not any("anna@example.com" in str(message) for message in sink.messages)
    logged = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(logged) == counted
