"""Mails to customers about answers that they have not read."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail
from crema.support import queries

MAIL_AFTER: Final = timedelta(minutes=2)
"""How long an answer may stay unread before it is mailed."""
BATCH: Final = 100
_MAX_QUOTES: Final = 10
_MAX_QUOTE_LENGTH: Final = 300


async def mail_unread(session: AsyncSession, *, chat_url: str, now: datetime) -> int:
    """Queue one mail per conversation with its unread answers, once the oldest waits for MAIL_AFTER; return how many.

    `chat_url` is the address of a conversation, with `{conversation_id}` in it. Locks the conversations, skipping
    locked ones. An answer is mailed once.
    """
    letters = []
    conversations = await queries.list_unread_for_update(session, before=now - MAIL_AFTER, limit=BATCH)
    for conversation in conversations:
        answers = await queries.list_unmailed(session, conversation=conversation)
        conversation.mailed_seq = conversation.last_seq
        flag_modified(conversation, "updated_at")  # keeps its value, because nothing was said
        customer = conversation.customer
        if customer.email is None or not customer.is_active:
            continue
        texts = [
            answer.text or (answer.attachment.name if answer.attachment else "") for answer in answers[-_MAX_QUOTES:]
        ]
        context = {
            "name": customer.name,
            "answers": [text if len(text) <= _MAX_QUOTE_LENGTH else f"{text[:_MAX_QUOTE_LENGTH]}…" for text in texts],
            "count": len(answers),
            "chat_url": chat_url.replace("{conversation_id}", str(conversation.id)),
        }
        key = f"chat-answer:{conversation.id}:{conversation.mailed_seq}"
        letters.append(OutgoingMail(customer.email, "chat_answer", customer.language, context, key))
    await session.flush()
    await notifications.send(session, letters)
    return len(letters)
