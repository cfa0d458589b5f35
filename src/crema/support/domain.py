"""What a conversation is, as plain values."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from crema.accounts.domain import Actor

MAX_TEXT: Final = 2_000
"""Characters of one message."""
SUPPORT: Final = "support:write"
"""The permission to answer customers."""


class ConversationStatus(StrEnum):
    """Where a conversation stands. A new message of the customer makes it open again."""

    OPEN = "open"
    PENDING = "pending"
    RESOLVED = "resolved"


class Side(StrEnum):
    """On which side of a conversation someone talks."""

    CUSTOMER = "customer"
    STAFF = "staff"


class Working(Protocol):
    """Somebody who answers a conversation, and for which shop."""

    user_id: UUID
    shop_id: UUID


class Owned(Protocol):
    """A conversation, as far as access to it goes."""

    customer_id: UUID
    shop_id: UUID | None
    assigned_to_id: UUID | None
    assigned_shop_id: UUID | None

    @property
    def answerers(self) -> Collection[Working]:
        """Who has answered since it was last resolved."""


def may_see(actor: Actor, conversation: Owned) -> bool:
    """Whether an actor may follow a conversation. `queries.visible_to` says the same in SQL."""
    if conversation.customer_id == actor.user_id:
        return True
    if not actor.may(SUPPORT):
        return False
    if actor.serves_all_shops or conversation.shop_id in actor.shop_ids:
        return True
    is_assigned = conversation.assigned_to_id == actor.user_id and conversation.assigned_shop_id in actor.shop_ids
    return is_assigned or any(
        each.user_id == actor.user_id and each.shop_id in actor.shop_ids for each in conversation.answerers
    )


def shop_to_work_for(shop_ids: Collection[UUID], *, shop_id: UUID | None) -> UUID | None:
    """Choose the shop for which somebody of these shops works on a conversation about a shop.

    It is that shop if they are tied to it, else the first of theirs; None if they are tied to none.
    """
    return shop_id if shop_id in shop_ids else min(shop_ids, default=None)


FOLLOWERS_TOPIC: Final = "chats"
"""The topic of those who follow the queue. It makes nobody present in a conversation."""
TOPIC: Final = "chat"
"""The kind of topic that a conversation is."""


def topic_of(conversation_id: UUID) -> str:
    """Name a conversation as a topic of events."""
    return f"{TOPIC}:{conversation_id}"


def conversation_of(topic: str) -> UUID | None:
    """Read which conversation a topic is of, if it is of one."""
    kind, _, name = topic.partition(":")
    return UUID(name) if kind == TOPIC else None


def size_of(text: str) -> int:
    """Count characters as everywhere: Unicode code points, a line's end as one."""
    return len(text.replace("\r\n", "\n"))
