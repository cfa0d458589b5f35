"""Dependencies of the chat's routes: the rate limit, and uploads that are read once they are allowed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Request

from crema.accounts.deps import VerifiedActor
from crema.media.deps import count_upload
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
    """The live feeds of the chat that the application holds."""

    conversations: ConversationFeed
    queue: QueueFeed


async def _count_request(tx: Transaction, actor: VerifiedActor, now: Now) -> None:
    await limits.count_request(tx, actor=actor, now=now)


RateLimited = Depends(_count_request, scope="function")
"""A dependency of routes that write: it limits the requests of a person per second."""


async def _attachment_upload(
    request: Request, conversation_id: UUID, tx: Transaction, actor: VerifiedActor, now: Now
) -> AsyncIterator[Upload[AttachmentForm]]:
    await attachments.check_upload_allowed(tx, conversation_id=conversation_id, actor=actor)
    await count_upload(request, tx, person_id=actor.user_id, quota=CHAT_QUOTA, now=now)
    async with read_upload(request, AttachmentForm, max_bytes=MAX_BYTES) as upload:
        yield upload


AttachmentUpload = Annotated[Upload[AttachmentForm], Depends(_attachment_upload, scope="function")]
"""A file for a conversation. Its body is read after the checks that need only the headers."""
