"""Rules of conversations, as pure functions and values."""

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
    """The status of a conversation. A new message of the customer makes it open again."""

    OPEN = "open"
    PENDING = "pending"
    RESOLVED = "resolved"


class Side(StrEnum):
    """The side of a conversation on which a person writes."""

    CUSTOMER = "customer"
    STAFF = "staff"


class AnswererRow(Protocol):
    """A person who has answered a conversation, and the shop they did it for."""

    user_id: UUID
    shop_id: UUID


class ConversationAccess(Protocol):
    """The fields of a conversation that decide who may see it."""

    customer_id: UUID
    shop_id: UUID | None
    assigned_to_id: UUID | None
    assigned_shop_id: UUID | None

    @property
    def answerers(self) -> Collection[AnswererRow]:
        """The people who have answered since it was last resolved."""


def may_see(actor: Actor, conversation: ConversationAccess) -> bool:
    """Return whether an actor may see a conversation. `queries.visible_to` is the same rule in SQL."""
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


def choose_answering_shop(shop_ids: Collection[UUID], *, shop_id: UUID | None) -> UUID | None:
    """Return the shop for which a person of these shops answers a conversation about `shop_id`.

    It is `shop_id` if it is one of theirs, else the first of theirs; None if they have none.
    """
    return shop_id if shop_id in shop_ids else min(shop_ids, default=None)


QUEUE_TOPIC: Final = "chats"
"""The topic of subscriptions to the queue. They don't count as present in a conversation."""
CONVERSATION_TOPIC: Final = "chat"
"""The prefix of topics that are conversations."""


def topic_of(conversation_id: UUID) -> str:
    """Return the topic of hints about a conversation."""
    return f"{CONVERSATION_TOPIC}:{conversation_id}"


def conversation_id_of(topic: str) -> UUID | None:
    """Return the conversation that a topic is about, or None."""
    kind, _, name = topic.partition(":")
    return UUID(name) if kind == CONVERSATION_TOPIC else None


def count_characters(text: str) -> int:
    """Return the number of Unicode code points. A line end counts as one."""
    return len(text.replace("\r\n", "\n"))
