"""The mail to a customer who was not there to read an answer."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail
from crema.support import queries

AWAY: Final = timedelta(minutes=2)
"""How long an answer waits to be read before it is mailed."""
BATCH: Final = 100
_QUOTED: Final = 10
_LONGEST_QUOTE: Final = 300


async def mail_unread(session: AsyncSession, *, chat_url: str, now: datetime) -> int:
    """Promise one mail for all unread answers of a conversation whose oldest waits for AWAY; return how many mails.

    `chat_url` is the address of a conversation, with `{conversation_id}` in it. Locks the conversations, skipping those
    where someone is writing just now. An answer is mailed once.
    """
    letters = []
    conversations = await queries.list_unread_for_update(session, before=now - AWAY, limit=BATCH)
    for conversation in conversations:
        answers = await queries.list_unmailed(session, conversation=conversation)
        conversation.mailed_seq = conversation.last_seq
        flag_modified(conversation, "updated_at")  # kept as it is: nothing was said
        customer = conversation.customer
        if customer.email is None or not customer.is_active:
            continue
        texts = [answer.text or (answer.attachment.name if answer.attachment else "") for answer in answers[-_QUOTED:]]
        context = {
            "name": customer.name,
            "answers": [text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…" for text in texts],
            "count": len(answers),
            "chat_url": chat_url.replace("{conversation_id}", str(conversation.id)),
        }
        key = f"chat-answer:{conversation.id}:{conversation.mailed_seq}"
        letters.append(OutgoingMail(customer.email, "chat_answer", customer.language, context, key))
    await session.flush()
    await notifications.send(session, letters)
    return len(letters)
