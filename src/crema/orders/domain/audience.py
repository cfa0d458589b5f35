"""Who is told of which order. `queries.visible_to` says the same in SQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from crema.accounts.domain import Actor

READ_ORDERS: Final = "orders:read"
"""The permission to see the orders of the shops one serves."""
FOLLOWERS_TOPIC: Final = "orders"
"""Where who follows orders is seen to be."""
ALL_ORDERS_TOPIC: Final = "orders:everywhere"
"""The topic of all orders' changes."""


def topic_of_person(user_id: UUID) -> str:
    """Return the topic of hints about a person's own orders."""
    return f"orders:of:{user_id}"


def topic_of_shop(shop_id: UUID) -> str:
    """Return the topic of hints about a shop's orders."""
    return f"orders:at:{shop_id}"


def topics_of(*, shop_id: UUID, user_id: UUID | None) -> list[str]:
    """Return the topics of an order. Whoever follows one of them may see the order."""
    topics = [topic_of_shop(shop_id), ALL_ORDERS_TOPIC]
    return topics if user_id is None else [*topics, topic_of_person(user_id)]


def topics_for(actor: Actor, *, shop_id: UUID | None) -> set[str]:
    """Return the topics that an actor follows: their own orders and, for staff, those of their shops or of one shop."""
    topics = {topic_of_person(actor.user_id)}
    if not actor.may(READ_ORDERS):
        return topics
    if shop_id is not None:
        return topics | ({topic_of_shop(shop_id)} if actor.serves(shop_id) else set())
    if actor.serves_all_shops:
        return topics | {ALL_ORDERS_TOPIC}
    return topics | {topic_of_shop(shop) for shop in actor.shop_ids}


@dataclass(frozen=True, slots=True)
class OrderVersion:
    """The fields of an order, as one transaction wrote it, that decide who sees it and its place on the board."""

    id: UUID
    shop_id: UUID
    user_id: UUID | None
    changed_in: int
    start_at: datetime
    is_hidden: bool
    is_hidden_from_customer: bool


def board_order(order: OrderVersion) -> tuple[datetime, UUID]:
    """Return the sort key of a board: the order that has to be begun first comes first."""
    return order.start_at, order.id


def is_staff_of(actor: Actor, shop_id: UUID) -> bool:
    """Return whether an actor sees a shop's orders as its staff, who also see the customers."""
    return actor.may(READ_ORDERS) and actor.serves(shop_id)


def may_see(actor: Actor, order: OrderVersion) -> bool:
    """Return whether an actor may see an order: their own and, for staff, those of the shops they serve."""
    return order.user_id == actor.user_id or is_staff_of(actor, order.shop_id)


def is_listed(actor: Actor, order: OrderVersion) -> bool:
    """Return whether an order is on an actor's lists. Customers and administrators can hide orders."""
    if order.is_hidden and not actor.is_admin:
        return False
    return order.user_id != actor.user_id or not order.is_hidden_from_customer
