"""What the chat's routes ask for before they act, and take from who is asking: files, read once they may come."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Request

from crema.accounts.deps import Person
from crema.media.deps import admit
from crema.media.domain import CHAT_QUOTA, MAX_BYTES
from crema.support.hub import ConversationFeed, QueueFeed
from crema.support.models import Conversation
from crema.support.schemas import AttachmentForm
from crema.support.service import attachments, limits
from crema.web.clock import Now
from crema.web.forms import Upload, read_upload
from crema.web.preconditions import Versioned
from crema.web.transaction import Transaction

CONVERSATION: Final = Versioned(Conversation.id, "conversation_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class SupportState:
    """What the application holds for the chat."""

    conversations: ConversationFeed
    queue: QueueFeed


async def _count(tx: Transaction, actor: Person, now: Now) -> None:
    await limits.count_request(tx, actor=actor, now=now)


Limited = Depends(_count, scope="function")
"""A dependency of routes that write: so many requests a second and person."""


async def _attachment_upload(
    request: Request, conversation_id: UUID, tx: Transaction, actor: Person, now: Now
) -> AsyncIterator[Upload[AttachmentForm]]:
    await attachments.check_room(tx, conversation_id=conversation_id, actor=actor)
    await admit(request, tx, person_id=actor.user_id, quota=CHAT_QUOTA, now=now)
    async with read_upload(request, AttachmentForm, max_bytes=MAX_BYTES) as upload:
        yield upload


AttachmentUpload = Annotated[Upload[AttachmentForm], Depends(_attachment_upload, scope="function")]
"""A file for a conversation, read once it is known that it may come."""
