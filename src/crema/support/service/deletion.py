"""What happens to the conversation of a deleted customer: it leaves the queue, and is erased later."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from obstore.store import ObjectStore
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.accounts.models import User
from crema.core.errors import ConflictError
from crema.db import hints
from crema.support import queries
from crema.support.domain import ConversationStatus, topic_of
from crema.support.models import Answerer, Attachment, Conversation, Message, Note


class CustomerDeletedError(ConflictError):
    """Nothing can be added to the conversation of a customer whose account is deleted."""

    code = "customer_deleted"
    title = "The customer has deleted their account."
    advice = "Nothing can be added to this conversation."


def check_customer_not_deleted(conversation: Conversation) -> None:
    """Raise CustomerDeletedError for the conversation of a customer whose account is deleted."""
    if conversation.customer_left_at is not None:
        raise CustomerDeletedError


async def close_conversation(session: AsyncSession, *, person: User, actor: Actor, force: bool, now: datetime) -> None:
    """Resolve the conversation of a person who is being deleted. Called by `people.delete_user`.

    The staff can read it until `erase`.
    """
    del actor, force
    conversation = await queries.find_own_for_update(session, customer_id=person.id)
    if conversation is None:
        return

    await session.execute(delete(Answerer).where(Answerer.conversation_id == conversation.id))
    conversation.status = ConversationStatus.RESOLVED
    conversation.assigned_to_id = conversation.assigned_shop_id = conversation.waiting_since = None
    conversation.unread_by_customer = conversation.unread_by_staff = 0
    conversation.customer_left_at = conversation.updated_at = now
    await session.flush()
    hints.publish(session, topics=[topic_of(conversation.id)])


async def erase(session: AsyncSession, *, user_id: UUID, store: ObjectStore) -> None:
    """Delete all messages, notes and uploads of a customer's conversation. The row of the conversation stays.

    Files are deleted first: if that fails the rows stay, and the next run tries again.
    """
    for key in await queries.list_attachment_keys_of(session, customer_id=user_id):
        with suppress(FileNotFoundError):
            await store.delete_async(key)
    conversation = await queries.find_own_for_update(session, customer_id=user_id)
    if conversation is None:
        return

    for kept in (Message, Note, Attachment):
        await session.execute(delete(kept).where(kept.conversation_id == conversation.id))
    emptied = {"last_seq", "customer_read_seq", "staff_read_seq", "mailed_seq", "note_count"}
    statement = update(Conversation).where(Conversation.id == conversation.id)
    await session.execute(statement.values(**dict.fromkeys(emptied, 0), updated_at=Conversation.updated_at))
