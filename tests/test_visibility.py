"""F2, A3, A5: what one sees follows from rights and shops by one rule, written once more here as plain Python.

Chains of random roles, people, shops, orders and conversations: every list, every single thing, the live feed and the
topics of sockets must give exactly what `Model` allows.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from json import loads
from random import Random
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlalchemy.orm.attributes import set_committed_value

from crema.accounts import queries as accounts
from crema.accounts.domain import BUILTIN_ROLES, PERMISSIONS, Actor
from crema.accounts.models import Role, RolePermission
from crema.db.base import new_id
from crema.db.session import Sessions
from crema.live.hub import Batch, Subscription
from crema.menu.models import Product
from crema.orders import domain as orders_domain
from crema.orders.models import Order
from crema.shops.models import Shop
from crema.support import domain as support_domain
from crema.support.models import Answerer, Conversation
from crema.web.state import WebState, state_of
from factories.orders import make_shop, make_simple_product, place
from fixtures.app import connect
from fixtures.people import PersonMade, make_person

pytestmark = pytest.mark.anyio

SEEDS: Final = range(3)
BOUND: Final = ("orders:read", "orders:write", "shops:all", "support:write")
"""Permissions that a shop bounds, or frees of it: random roles have each with a chance of one half."""


@dataclass
class Somebody:
    made: PersonMade
    role: str
    granted: frozenset[str]
    ties: frozenset[UUID]
    is_tied: bool

    @property
    def id(self) -> UUID:
        return self.made.id


@dataclass
class Something:
    """An order, or a conversation."""

    id: UUID
    owner: UUID
    shop: UUID | None
    assigned_to: UUID | None = None
    assigned_shop: UUID | None = None
    answerers: tuple[tuple[UUID, UUID], ...] = ()
    is_hidden: bool = False


@dataclass
class Model:
    """The rule. `shops:all` is every shop, unless one is tied to shops; ties are those shops; nothing is nothing."""

    people: list[Somebody] = field(default_factory=list)
    orders: list[Something] = field(default_factory=list)
    chats: list[Something] = field(default_factory=list)
    shops: list[UUID] = field(default_factory=list)

    def serves(self, who: Somebody, shop: UUID | None) -> bool:
        if who.role == "admin" or ("shops:all" in who.granted and not who.is_tied):
            return True
        return shop in who.ties

    def sees_order(self, who: Somebody, order: Something) -> bool:
        return order.owner == who.id or ("orders:read" in who.granted and self.serves(who, order.shop))

    def moves_order(self, who: Somebody, order: Something) -> bool:
        is_staff = "orders:write" in who.granted and self.serves(who, order.shop)
        return self.sees_order(who, order) and (order.owner == who.id or is_staff)

    def sees_chat(self, who: Somebody, chat: Something) -> bool:
        if chat.owner == who.id:
            return True
        is_assigned = chat.assigned_to == who.id and chat.assigned_shop in who.ties
        has_answered = any(person == who.id and shop in who.ties for person, shop in chat.answerers)
        works_on_it = is_assigned or has_answered or self.serves(who, chat.shop)
        return "support:write" in who.granted and works_on_it


async def make_chain(app: FastAPI, sessions: Sessions, seed: int) -> Model:
    random = Random(seed)  # noqa: S311 - it keeps no secret
    shops = [await make_shop(sessions, slug=f"shop-{number}") for number in range(3)]
    product = await make_simple_product(sessions)
    model = Model(shops=shops)
    roles = {name: granted for name, (_, granted) in BUILTIN_ROLES.items()}
    others = [permission for permission in PERMISSIONS if permission not in BOUND]
    async with sessions.begin() as session:
        for number in range(4):
            granted = {code for code in BOUND if random.random() < 0.5} | {*random.sample(others, random.randint(0, 1))}
            session.add(role := Role(name=f"random {number}"))
            await session.flush()
            session.add_all(RolePermission(role_id=role.id, permission_code=code) for code in granted)
            roles[role.name] = frozenset(granted)
    for number, (role_name, permissions) in enumerate(roles.items()):
        ties = frozenset(random.sample(shops, random.choice([0, 0, 1, 2])))
        is_tied = bool(ties) or random.random() < 0.3
        email = f"{number}@example.com"
        made = await make_person(app, email=email, role=role_name, shop_ids=tuple(ties), is_tied=is_tied)
        model.people.append(Somebody(made, role_name, permissions, ties, is_tied))
    emptied = await make_person(app, email="emptied@example.com", role="support", is_tied=True)
    model.people.append(Somebody(emptied, "support", roles["support"], frozenset(), is_tied=True))
    for shop in shops * 2:
        owner = random.choice(model.people)
        async with connect(app, owner.made.token) as client:
            order = await place(client, product, shop_id=str(shop))
        model.orders.append(Something(UUID(order["id"]), owner.id, shop))
    hidden = random.choice(model.orders)
    hidden.is_hidden = True
    async with sessions.begin() as session:
        await session.execute(
            update(Order).where(Order.id == hidden.id).values(hidden_at=state_of(app, WebState).clock())
        )
        for owner in random.sample(model.people, 5):
            shop_id = random.choice([*shops, None])
            assigned = random.choice([*model.people, None, None])
            something = Something(
                new_id(),
                owner.id,
                shop_id,
                assigned.id if assigned else None,
                random.choice([*shops, None]) if assigned else None,
                tuple((who.id, random.choice(shops)) for who in random.sample(model.people, 3)),
            )
            session.add(conversation_of(something))
            await session.flush()
            session.add_all(answerers_of(something))
            model.chats.append(something)
    return model


def conversation_of(chat: Something) -> Conversation:
    return Conversation(
        id=chat.id,
        customer_id=chat.owner,
        shop_id=chat.shop,
        assigned_to_id=chat.assigned_to,
        assigned_shop_id=chat.assigned_shop,
    )


def answerers_of(chat: Something) -> list[Answerer]:
    return [Answerer(conversation_id=chat.id, user_id=person, shop_id=shop) for person, shop in chat.answerers]


def ids(things: Iterable[Something]) -> set[str]:
    return {str(thing.id) for thing in things}


async def listed(client: httpx2.AsyncClient, path: str, **parameters: Any) -> set[str]:
    """Give the ids of a list, of all its pages by cursor."""
    found, cursor = set(), ""
    while cursor is not None:
        answer = await client.get(path, params={"size": 5, "cursor": cursor} | parameters)
        assert answer.status_code == 200, answer.text
        found |= {item["id"] for item in answer.json()["items"]}
        cursor = answer.json()["next_cursor"]
    return found


async def statuses(client: httpx2.AsyncClient, things: Iterable[Something], path: str) -> dict[UUID, int]:
    return {thing.id: (await client.get(path.format(thing.id))).status_code for thing in things}


@pytest.fixture
def finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the live feed end after its snapshot."""

    updates = Subscription.updates

    async def first_updates(self: Subscription, **options: float) -> AsyncIterator[Sequence[Batch]]:
        yield await anext(updates(self, **options))

    monkeypatch.setattr(Subscription, "updates", first_updates)


async def board(client: httpx2.AsyncClient, **parameters: str) -> set[str]:
    """Give the ids of the live feed's snapshot."""
    answer = await client.get("/orders/live", params=parameters)
    [data] = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return {order["id"] for order in loads(data)["orders"]}


@pytest.mark.usefixtures("finite")
@pytest.mark.parametrize("seed", SEEDS)
async def test_a3_f2_orders_are_seen_and_moved_by_the_rule_and_no_further(
    app: FastAPI, sessions: Sessions, seed: int
) -> None:
    model = await make_chain(app, sessions, seed)

    for who in model.people:
        seen = [order for order in model.orders if model.sees_order(who, order)]
        shown = [order for order in seen if not order.is_hidden or who.role == "admin"]
        async with connect(app, who.made.token) as client:
            assert await listed(client, "/orders") == ids(shown)
            assert await board(client) == ids(shown)
            for shop in model.shops:
                there = ids(order for order in shown if order.shop == shop)
                assert await listed(client, "/orders", shop_id=shop) == there
                assert await board(client, shop_id=str(shop)) == there
            if "orders:read" in who.granted:
                for other in model.people[:3]:
                    theirs = ids(order for order in shown if order.owner == other.id)
                    assert await listed(client, "/orders", user_id=other.id, status="placed") == theirs
            expected = {order.id: 200 if order in seen else 404 for order in model.orders}
            assert await statuses(client, model.orders, "/order/{}") == expected
            assert await statuses(client, model.orders, "/order/{}/history") == expected
            for order in model.orders:
                answer = await client.patch(f"/order/{order.id}", json={})
                allowed = 200 if model.moves_order(who, order) else 403
                assert answer.status_code == (allowed if order in seen else 404)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a5_f2_conversations_are_seen_by_the_rule_and_no_further(
    app: FastAPI, sessions: Sessions, seed: int
) -> None:
    model = await make_chain(app, sessions, seed)

    for who in model.people:
        seen = [chat for chat in model.chats if model.sees_chat(who, chat)]
        async with connect(app, who.made.token) as client:
            assert await listed(client, "/chats") == ids(seen)
            for shop in model.shops:
                there = ids(chat for chat in seen if chat.shop == shop)
                assert await listed(client, "/chats", shop_id=shop, sort="waiting_since") == there
            expected = {chat.id: 200 if chat in seen else 404 for chat in model.chats}
            assert await statuses(client, model.chats, "/chat/{}") == expected
            assert await statuses(client, model.chats, "/chat/{}/messages") == expected
            notes = expected if "support:write" in who.granted else dict.fromkeys(expected, 403)
            assert await statuses(client, model.chats, "/chat/{}/notes") == notes


@pytest.mark.parametrize("seed", SEEDS)
async def test_a3_a5_sockets_hear_and_follow_by_the_same_rule(app: FastAPI, sessions: Sessions, seed: int) -> None:
    model = await make_chain(app, sessions, seed)

    async with sessions() as session:
        for who in model.people:
            actor = await accounts.find_actor(
                session, user_id=who.id, session_id=who.made.session_id, now=state_of(app, WebState).clock()
            )
            assert actor is not None
            for order in model.orders:
                assert order.shop is not None
                told = {
                    orders_domain.topic_of_person(order.owner),
                    orders_domain.topic_of_shop(order.shop),
                    orders_domain.ALL_ORDERS_TOPIC,
                }
                assert bool(orders_domain.topics_for(actor, shop_id=None) & told) == model.sees_order(who, order)
                assert bool(orders_domain.topics_for(actor, shop_id=order.shop) & told) == model.sees_order(who, order)
            for chat in model.chats:
                conversation = conversation_of(chat)
                set_committed_value(conversation, "answerers", answerers_of(chat))
                assert support_domain.may_see(actor, conversation) == model.sees_chat(who, chat)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a2_f2_people_and_what_is_hidden_are_seen_by_their_permission(
    app: FastAPI, sessions: Sessions, seed: int
) -> None:
    model = await make_chain(app, sessions, seed)
    closed, draft = await make_shop(sessions, slug="closed"), await make_simple_product(sessions, is_active=False)
    async with sessions.begin() as session:
        await session.execute(update(Shop).where(Shop.id == closed).values(is_active=False))
        products = {
            str(id_) for id_ in (await session.scalars(Product.__table__.select().with_only_columns(Product.id)))
        }

    for who in model.people:
        edits = {code: code in who.granted for code in ("menu:write", "shops:write", "users:write")}
        async with connect(app, who.made.token) as client:
            assert (await client.get(f"/shop/{closed}")).status_code == (200 if edits["shops:write"] else 404)
            shops = {str(shop) for shop in model.shops} | ({str(closed)} if edits["shops:write"] else set())
            assert await listed(client, "/shops") == shops
            assert (await client.get(f"/product/{draft}")).status_code == (200 if edits["menu:write"] else 404)
            assert await listed(client, "/products") == products - (set() if edits["menu:write"] else {str(draft)})
            for other in model.people:
                status = 200 if other is who or edits["users:write"] else 404
                assert (await client.get(f"/user/{other.id}")).status_code == status
            if edits["users:write"]:
                assert await listed(client, "/users") == {str(other.id) for other in model.people}
            else:
                assert (await client.get("/users")).status_code == 403


@pytest.mark.parametrize("seed", SEEDS)
async def test_a3_a5_taking_a_shop_or_a_permission_away_never_shows_more(
    app: FastAPI, sessions: Sessions, seed: int
) -> None:
    """By HTTP: each list of shops is emptied one by one, then each role loses its permissions one by one."""
    random = Random(seed)  # noqa: S311 - it keeps no secret
    model = await make_chain(app, sessions, seed)
    admin = next(who for who in model.people if who.role == "admin")
    others = [who for who in model.people if who is not admin]

    async with connect(app, admin.made.token) as boss:
        roles = {role["name"]: role for role in (await boss.get("/roles", params={"size": 100})).json()["items"]}
        for who in others:
            async with connect(app, who.made.token) as client:

                async def seen(client: httpx2.AsyncClient = client) -> set[str]:
                    return await listed(client, "/orders") | await listed(client, "/chats")

                before, ties = await seen(), [*who.ties]
                while ties:
                    ties.pop(random.randrange(len(ties)))
                    await _patched(boss, f"/user/{who.id}", shop_ids=[str(shop) for shop in ties])
                    after = await seen()
                    assert after <= before
                    before = after
                left = (await boss.get(f"/role/{roles[who.role]['id']}")).json()["permissions"]
                random.shuffle(left)
                while left:
                    left.pop()
                    await _patched(boss, f"/role/{roles[who.role]['id']}", permissions=left)
                    after = await seen()
                    assert after <= before
                    before = after
            assert before == ids(
                thing for thing in model.orders if thing.owner == who.id and not thing.is_hidden
            ) | ids(thing for thing in model.chats if thing.owner == who.id)


async def _patched(client: httpx2.AsyncClient, path: str, **fields: Any) -> None:
    answer = await client.patch(path, json=fields)
    assert answer.status_code == 200, answer.text


async def test_twin_where_no_shops_mean_all_shops_the_rule_is_broken(
    app: FastAPI, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(actor: Actor) -> bool:
        return actor.is_admin or (actor.may("support:write") and not actor.shop_ids and not actor.may("orders:write"))

    monkeypatch.setattr(Actor, "serves_all_shops", property(before))

    with pytest.raises(AssertionError):
        await test_a5_f2_conversations_are_seen_by_the_rule_and_no_further(app, sessions, SEEDS[0])
