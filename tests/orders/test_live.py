"""Orders live, over WebSocket and as server-sent events, against two server processes on one database."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select, update
from websockets.exceptions import InvalidStatus

from crema.accounts.models import Role, Session, StaffShop, User
from crema.live.hub import CHECK_SECONDS, POLL_SECONDS
from crema.orders.models import Order
from crema.web.state import WebState, state_of
from factories.menu import make_group, make_ingredient, make_product
from factories.orders import make_shop, make_simple_product, place
from fixtures.live import WAIT_SECONDS, Town, open_socket
from fixtures.people import PersonMade
from fixtures.server import http_client

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client_of(town: Town, person: PersonMade, *, server: int = 0) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {person.token}"}
    async with http_client(base_url=town.servers[server].url, headers=headers, timeout=10) as client:
        yield client


class Shop:
    """A shop with a customer, a barista and something to order."""

    def __init__(self, town: Town, shop_id: UUID, product_id: UUID, anna: PersonMade, barista: PersonMade) -> None:
        self.town, self.id, self.product_id, self.anna, self.barista = town, shop_id, product_id, anna, barista

    @property
    def shown_to_staff(self) -> dict[str, Any]:
        """What staff see of the customer's orders, and the customer doesn't."""
        return {"customer": {"id": str(self.anna.id), "name": "Анна", "phone": None}}

    async def order(self) -> dict[str, Any]:
        async with client_of(self.town, self.anna) as client:
            return await place(client, self.product_id, shop_id=str(self.id))

    async def move(self, order: dict[str, Any], status: str) -> None:
        async with client_of(self.town, self.barista, server=1) as client:
            answer = await client.patch(f"/order/{order['id']}", json={"status": status})
            assert answer.status_code == 200, answer.text


@pytest.fixture
async def shop(town: Town) -> Shop:
    shop_id = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    product_id = await make_simple_product(town.sessions)
    anna = await town.person(name="Анна")
    return Shop(town, shop_id, product_id, anna, await town.person("barista", shop_ids=(shop_id,)))


async def test_the_board_is_a_snapshot_then_each_order_as_it_changes(town: Town, shop: Shop) -> None:
    first = await shop.order()

    async with open_socket(town.servers[1], "/orders/live", shop.barista) as board:
        snapshot = await board.next()
        second = await shop.order()
        placed = await board.next()
        await shop.move(first, "accepted")
        accepted = await board.next()

    assert [order["id"] for order in snapshot["orders"]] == [first["id"]]
    assert (placed["type"], placed["order"]) == ("order", second | shop.shown_to_staff)
    assert (accepted["order"]["id"], accepted["order"]["status"]) == (first["id"], "accepted")
    assert [event["status"] for event in accepted["order"]["history"]] == ["placed", "accepted"]


async def test_an_order_at_the_counter_comes_to_the_board_and_to_no_customer(town: Town, shop: Shop) -> None:
    async with (
        open_socket(town.servers[0], "/orders/live", shop.barista) as board,
        open_socket(town.servers[0], "/orders/live", shop.anna) as customers,
        client_of(town, shop.barista, server=1) as client,
    ):
        await board.expect("snapshot")
        await customers.expect("snapshot")
        taken = await place(client, shop.product_id, source="counter", customer_name="Пётр")
        assert (await board.expect("order"))["order"] == taken
        await customers.send("ping")
        assert (await customers.next())["type"] == "pong"


@pytest.fixture
async def oat_latte(town: Town, shop: Shop) -> dict[str, Any]:
    """What to order: a latte in L with oat milk instead of cow's."""

    def figures(*amounts: float) -> dict[str, float]:
        names = ("energy_kcal", "proteins_g", "fats_g", "carbohydrates_g", "caffeine_mg")
        return dict(zip(names, amounts, strict=True))

    async with client_of(town, await town.person("admin")) as admin:
        coffee, milk, oats = [
            await make_ingredient(admin, f"{name} {uuid4().hex}") for name in ("Кофе", "Молоко", "Овёс")
        ]
        cow = {"name": "Коровье", "is_default": True, "allergens": ["milk"], "ingredient_ids": [milk["id"]]}
        oat = {"name": "Овсяное", "allergens": ["gluten"], "ingredient_ids": [oats["id"]]}
        group = await make_group(
            admin,
            min_choices=1,
            options=[
                cow | {"size_nutrition": [{"size_name": "L", "nutrition": figures(186, 9.3, 9.9, 14.6, 0)}]},
                oat | {"size_nutrition": [{"size_name": "L", "nutrition": figures(183, 3.1, 9.3, 20.5, 0)}]},
            ],
        )
        latte = await make_product(
            admin,
            slug=f"latte-{uuid4().hex}",
            sizes=[{"name": "S"}, {"name": "L", "nutrition": figures(191, 9.5, 10, 15.4, 65)}],
            modifier_group_ids=[group["id"]],
            ingredient_ids=[coffee["id"], milk["id"]],
            allergens=["milk"],
            allergens_always=[],
        )
    item = {
        "product_id": latte["id"],
        "size_id": latte["sizes"][1]["id"],
        "options": [{"option_id": group["options"][1]["id"]}],
    }
    contents = {
        "allergens": ["gluten"],
        "ingredients": [coffee, oats],
        "nutrition": figures(188, 3.3, 9.4, 21.3, 65),
    }
    return {"body": {"shop_id": str(shop.id), "items": [item]}, "contents": contents}


async def test_the_socket_tells_what_each_line_contains_as_configured(
    town: Town, shop: Shop, oat_latte: dict[str, Any]
) -> None:
    async with client_of(town, shop.anna) as client:
        first = (await client.post("/order", json=oat_latte["body"])).json()
        async with open_socket(town.servers[1], "/orders/live", shop.barista) as board:
            snapshot = await board.expect("snapshot")
            second = (await client.post("/order", json=oat_latte["body"])).json()
            placed = (await board.expect("order"))["order"]
            plain = {"items": [{"product_id": str(shop.product_id)}]}
            assert (await client.patch(f"/order/{second['id']}", json=plain)).status_code == 200
            edited = (await board.expect("order"))["order"]

    assert (snapshot["orders"], placed) == ([first | shop.shown_to_staff], second | shop.shown_to_staff)
    for order in (snapshot["orders"][0], placed):
        assert [line["contents"] for line in order["lines"]] == [oat_latte["contents"]]
    assert [line["contents"] for line in edited["lines"]] == [{"allergens": [], "ingredients": [], "nutrition": None}]


async def test_the_stream_tells_what_each_line_contains_as_configured(
    town: Town, shop: Shop, oat_latte: dict[str, Any]
) -> None:
    async with client_of(town, shop.anna) as client:
        await client.post("/order", json=oat_latte["body"])
        async with (
            asyncio.timeout(WAIT_SECONDS),
            client_of(town, shop.barista, server=1) as barista,
            barista.stream("GET", "/orders/live") as response,
        ):
            events = events_of(response)
            snapshot = json.loads((await anext(events))["data"])
            await client.post("/order", json=oat_latte["body"])
            placed = json.loads((await anext(events))["data"])

    told = [line["contents"] for order in (*snapshot["orders"], placed["order"]) for line in order["lines"]]
    assert told == [oat_latte["contents"]] * 2


async def test_lines_that_are_made_are_told_live(town: Town, shop: Shop) -> None:
    order = await shop.order()
    await shop.move(order, "accepted")

    async with (
        open_socket(town.servers[0], "/orders/live", shop.barista) as board,
        open_socket(town.servers[0], "/orders/live", shop.anna) as customers,
        client_of(town, shop.barista, server=1) as client,
    ):
        await board.expect("snapshot")
        await customers.expect("snapshot")
        line = order["lines"][0]["id"]
        assert (await client.patch(f"/order/{order['id']}/line/{line}", json={"is_made": True})).status_code == 200
        for socket in (board, customers):
            told = (await socket.expect("order"))["order"]
            assert ([each["is_made"] for each in told["lines"]], told["status"]) == ([True], "accepted")


async def test_a3_the_owner_follows_their_own_and_nobody_elses(town: Town, shop: Shop) -> None:
    stranger = await town.person()

    async with (
        open_socket(town.servers[0], "/orders/live", shop.anna) as mine,
        open_socket(town.servers[0], "/orders/live", stranger) as theirs,
    ):
        await mine.expect("snapshot", orders=[])
        await theirs.expect("snapshot", orders=[])
        order = await shop.order()
        await shop.move(order, "accepted")
        while (await mine.expect("order"))["order"]["status"] != "accepted":
            pass  # what came close together is told as one
        await theirs.send("ping")

        assert (await theirs.next())["type"] == "pong"


async def test_a3_a_barista_of_another_shop_hears_nothing_and_shop_id_narrows_the_board(town: Town, shop: Shop) -> None:
    other_id = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    far, admin = await town.person("barista", shop_ids=(other_id,)), await town.person("admin")

    async with (
        open_socket(town.servers[0], "/orders/live", far) as board,
        open_socket(town.servers[0], "/orders/live", admin) as all_of_them,
        open_socket(town.servers[0], f"/orders/live?shop_id={other_id}", admin) as narrowed,
    ):
        for socket in (board, all_of_them, narrowed):
            await socket.expect("snapshot")
        order = await shop.order()
        heard = await all_of_them.expect("order")
        await board.send("ping")
        await narrowed.send("ping")

        assert heard["order"]["id"] == order["id"]
        assert (await board.next())["type"] == (await narrowed.next())["type"] == "pong"


async def test_who_comes_back_gets_what_changed_meanwhile_and_no_snapshot(town: Town, shop: Shop) -> None:
    kept, moved = await shop.order(), await shop.order()
    async with open_socket(town.servers[0], "/orders/live", shop.barista) as board:
        position = (await board.expect("snapshot"))["position"]

    await shop.move(moved, "accepted")
    await shop.move(moved, "preparing")
    placed = await shop.order()
    async with open_socket(town.servers[1], f"/orders/live?after={position}", shop.barista) as board:
        await board.send("ping")
        await board.expect("pong")
        frames = [frame for frame in board.seen if frame["type"] != "pong"]
        while {frame["order"]["id"] for frame in frames} < {moved["id"], placed["id"]}:
            frames.append(await board.next())

    assert {frame["type"] for frame in frames} == {"order"}
    statuses = {frame["order"]["id"]: frame["order"]["status"] for frame in frames}
    assert statuses == {moved["id"]: "preparing", placed["id"]: "placed"} | (
        {kept["id"]: "placed"} if kept["id"] in statuses else {}
    )


async def test_a_change_that_commits_late_is_not_missed(town: Town, shop: Shop) -> None:
    """Its transaction began first and committed last: a position by time or by number would have passed it."""
    slow, quick = await shop.order(), await shop.order()
    async with open_socket(town.servers[0], "/orders/live", shop.barista) as board:
        await board.expect("snapshot")
        async with town.sessions() as session:
            await session.execute(update(Order).where(Order.id == UUID(slow["id"])).values(comment="late"))
            await shop.move(quick, "accepted")
            position = (await board.expect("order"))["position"]
            await session.commit()

    async with open_socket(town.servers[1], f"/orders/live?after={position}", shop.barista) as board:
        late = await board.expect("order")
        while late["order"]["id"] != slow["id"]:
            late = await board.expect("order")

    assert late["order"]["comment"] == "late"


async def test_every_change_reaches_the_board_while_many_order_at_once(town: Town, shop: Shop) -> None:
    async with open_socket(town.servers[1], "/orders/live", shop.barista) as board:
        await board.expect("snapshot")
        async with client_of(town, shop.anna) as client:
            placed = await asyncio.gather(*(place(client, shop.product_id, shop_id=str(shop.id)) for _ in range(30)))
        wanted = {order["id"] for order in placed}
        while wanted:
            wanted.discard((await board.expect("order"))["order"]["id"])


@pytest.mark.parametrize("position", ["0-0", "999999999999999999-9999999999"])
async def test_a_position_too_old_or_of_another_database_is_answered_with_a_snapshot(
    town: Town, shop: Shop, position: str
) -> None:
    order = await shop.order()

    async with open_socket(town.servers[0], f"/orders/live?after={position}", shop.barista) as board:
        snapshot = await board.expect("snapshot")

    assert [each["id"] for each in snapshot["orders"]] == [order["id"]]


@pytest.mark.parametrize(
    ("query", "reason"), [("after=nonsense", "invalid_position"), ("shop_id=1", "validation_error: shop_id")]
)
async def test_a_bad_query_is_the_reason_of_the_close(town: Town, query: str, reason: str) -> None:
    async with open_socket(town.servers[0], f"/orders/live?{query}", await town.person()) as socket:
        assert await socket.closed() == 1008
        assert (socket.connection.close_reason or "").startswith(reason)


async def test_w2_a_token_in_the_address_is_refused_before_the_socket_opens(town: Town) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(town.servers[0], "/orders/live?token=abc", await town.person()):
            pass

    assert refused.value.response.status_code == 403


async def test_a3_the_board_follows_the_shops_of_who_reads_it(town: Town, shop: Shop) -> None:
    other_id = await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    order = await shop.order()
    async with open_socket(town.servers[0], "/orders/live", shop.barista) as board:
        await board.expect("snapshot")
        async with town.sessions.begin() as session:
            moved = update(StaffShop).where(StaffShop.user_id == shop.barista.id)
            await session.execute(moved.values(shop_id=other_id))
        elsewhere = await board.next()
        await shop.order()
        async with client_of(town, shop.anna) as client:
            there = await place(client, shop.product_id, shop_id=str(other_id))
        heard = await board.next()
        async with town.sessions.begin() as session:
            session.add(StaffShop(user_id=shop.barista.id, shop_id=shop.id))
        both = await board.next()

    assert (elsewhere["type"], elsewhere["orders"]) == ("snapshot", [])
    assert heard["order"]["id"] == there["id"]
    assert {order["id"], there["id"]} < {each["id"] for each in both["orders"]}


async def test_w4_a_board_closes_with_the_right_to_it(town: Town, shop: Shop) -> None:
    async with open_socket(town.servers[0], "/orders/live", shop.barista) as board:
        await board.expect("snapshot")
        async with town.sessions.begin() as session:
            role_id = (await session.scalars(select(Role.id).where(Role.name == "user"))).one()
            await session.execute(update(User).where(User.id == shop.barista.id).values(role_id=role_id))

        assert await board.closed() == 4403


async def events_of(response: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            yield event
            event = {}
        else:
            event = {}


async def test_server_sent_events_carry_the_same_frames(town: Town, shop: Shop) -> None:
    first = await shop.order()

    async with asyncio.timeout(WAIT_SECONDS), client_of(town, shop.barista) as client:
        async with client.stream("GET", "/orders/live") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            events = events_of(response)
            snapshot = await anext(events)
            second = await shop.order()
            placed = await anext(events)
        await shop.move(first, "accepted")
        async with client.stream("GET", "/orders/live", headers={"Last-Event-ID": placed["id"]}) as response:
            events = events_of(response)
            resumed = await anext(events)
            while json.loads(resumed["data"])["order"]["id"] != first["id"]:
                resumed = await anext(events)

    assert snapshot["event"] == "snapshot"
    assert [order["id"] for order in json.loads(snapshot["data"])["orders"]] == [first["id"]]
    assert (placed["event"], json.loads(placed["data"])["order"]) == ("order", second | shop.shown_to_staff)
    assert placed["id"] == json.loads(placed["data"])["position"]
    assert json.loads(resumed["data"])["order"]["status"] == "accepted"


async def test_a_stream_ends_with_its_login(town: Town) -> None:
    anna = await town.person()

    async with (
        asyncio.timeout(WAIT_SECONDS),
        client_of(town, anna) as client,
        client.stream("GET", "/orders/live") as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        async with town.sessions.begin() as session:
            ended = update(Session).where(Session.id == anna.session_id)
            await session.execute(ended.values(ended_at=state_of(town.app, WebState).clock()))
        async for _ in lines:
            pass

    assert CHECK_SECONDS < WAIT_SECONDS < POLL_SECONDS, "it was ended by the watch over logins, not by a late look"


async def test_streams_and_sockets_count_together_and_a_closed_one_is_free_again(town: Town) -> None:
    anna = await town.person()

    async def stream(client: httpx2.AsyncClient) -> None:
        async with client.stream("GET", "/orders/live") as response:
            events = events_of(response)  # dropped, it would close the connection
            await anext(events)
            started.release()
            await asyncio.wait_for(enough.wait(), WAIT_SECONDS)

    started, enough = asyncio.Semaphore(0), asyncio.Event()
    async with client_of(town, anna) as client, client_of(town, anna, server=1) as second:
        streams = [asyncio.create_task(stream(each)) for each in (client, client, client, second, second)]
        for _ in streams:
            await started.acquire()
        refused = await client.get("/orders/live")
        enough.set()
        await asyncio.gather(*streams)

        assert refused.status_code == 429
        assert refused.json()["code"] == "too_many_sockets"
        assert refused.headers["retry-after"]
        async with asyncio.timeout(WAIT_SECONDS):  # the server has to notice that they are gone
            while not await opens(client):  # noqa: ASYNC110 - it is another process that changes
                await asyncio.sleep(0.05)


async def opens(client: httpx2.AsyncClient) -> bool:
    async with client.stream("GET", "/orders/live") as response:
        return response.status_code == 200


async def test_nobody_streams_without_a_login_or_with_a_bad_position(town: Town) -> None:
    async with http_client(base_url=town.servers[0].url) as client:
        nobody = await client.get("/orders/live")
    async with client_of(town, await town.person()) as client:
        bad = await client.get("/orders/live", params={"after": "nonsense"})

    assert (nobody.status_code, nobody.json()["code"]) == (401, "not_authenticated")
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_position")


async def test_the_board_names_the_customer_and_the_customers_feed_does_not(town: Town, shop: Shop) -> None:
    async with client_of(town, shop.anna) as client:
        first = await place(client, shop.product_id, shop_id=str(shop.id), pickup_name="Аня")

    async with (
        open_socket(town.servers[0], "/orders/live", shop.barista) as board,
        open_socket(town.servers[1], "/orders/live", shop.anna) as customers,
    ):
        snapshots = [await socket.expect("snapshot") for socket in (board, customers)]
        await shop.move(first, "accepted")
        frames = [await socket.expect("order") for socket in (board, customers)]

    who = shop.shown_to_staff["customer"]
    for (on_board,), (own,) in [[each["orders"] for each in snapshots], [[each["order"]] for each in frames]]:
        assert (on_board["pickup_name"], on_board["customer"]) == ("Аня", who)
        assert (own["pickup_name"], own["customer"]) == ("Аня", None)


async def test_a_step_back_is_told_to_the_board_and_to_the_customer(town: Town, shop: Shop) -> None:
    order = await shop.order()
    for status in ("accepted", "preparing", "ready", "completed"):
        await shop.move(order, status)

    async with (
        open_socket(town.servers[0], "/orders/live", shop.barista) as board,
        open_socket(town.servers[1], "/orders/live", shop.anna) as customers,
    ):
        for socket in (board, customers):
            assert (await socket.expect("snapshot"))["orders"] == []
        await shop.move(order, "ready")
        for socket in (board, customers):
            told = (await socket.expect("order"))["order"]
            assert (told["status"], told["history"][-1]["from_status"]) == ("ready", "completed")


async def test_frames_let_a_front_end_keep_the_order_of_the_snapshot(town: Town, shop: Shop) -> None:
    """Tried: an order moved from another day to as soon as possible, put into its place by its own fields."""
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    async with client_of(town, shop.anna) as client:
        moved = await place(client, shop.product_id, shop_id=str(shop.id), pickup_at=ahead)
    await shop.order()

    async with open_socket(town.servers[0], "/orders/live", shop.barista) as board:
        shown = {order["id"]: order for order in (await board.expect("snapshot"))["orders"]}
        assert [*shown][-1] == moved["id"]
        async with client_of(town, shop.anna) as client:
            assert (await client.patch(f"/order/{moved['id']}", json={"pickup_at": None})).status_code == 200
            soonest = await place(client, shop.product_id, shop_id=str(shop.id))
        while {moved["id"], soonest["id"]} - board_ids(shown, newer_than=moved):
            order = (await board.expect("order"))["order"]
            shown[order["id"]] = order
    kept = sorted(shown.values(), key=lambda each: (datetime.fromisoformat(each["ready_estimate_at"]), each["id"]))

    async with open_socket(town.servers[0], "/orders/live", shop.barista) as board:
        fresh = (await board.expect("snapshot"))["orders"]
    assert [order["id"] for order in kept] == [order["id"] for order in fresh]


def board_ids(shown: dict[str, Any], *, newer_than: dict[str, Any]) -> set[str]:
    """Name the orders that are shown as they were written after this one."""
    return {id_ for id_, order in shown.items() if order["updated_at"] > newer_than["updated_at"]}
