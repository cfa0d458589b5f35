"""Files in the chat: pictures, encoded again like those of products, and PDFs, unchanged.

The file is written before its row, and the row before the message that sends it. A task deletes what is never sent.
"""

import asyncio
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Final
from uuid import UUID

from obstore.store import ObjectStore
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, UnsupportedTypeError
from crema.core.lookalikes import is_visible
from crema.db.batches import delete_in_batches
from crema.db.session import Sessions, commit_now
from crema.media.service import MediaService, files
from crema.media.service.rendering import Renderer, UnsupportedImageError
from crema.support import queries
from crema.support.models import Attachment
from crema.support.service import deletion

MAX_UNSENT: Final = 10
UNSENT_KEPT: Final = timedelta(days=1)
MAX_NAME: Final = 120
PDF: Final = "application/pdf"
WEBP: Final = "image/webp"
_PDF_SIGNATURE: Final = b"%PDF-"
_FOLDER: Final = "chat"


class UnsupportedAttachmentError(UnsupportedTypeError):
    """The file is neither a picture nor a PDF, whatever its name says."""

    code = "unsupported_attachment"
    title = "This file is neither a picture of a supported format nor a PDF."
    advice = "Send a JPEG, PNG, WebP, AVIF or HEIC picture, or a PDF."


class TooManyAttachmentsError(ConflictError):
    """The person has too many uploads that wait to be sent."""

    code = "too_many_attachments"
    title = f"You already have {MAX_UNSENT} uploads that are not sent."
    advice = "Send a message with one of them first."


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as it was uploaded, with its name."""

    file: BinaryIO
    name: str


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str
    suffix: str
    width: int | None = None
    height: int | None = None


async def upload(
    session: AsyncSession, media: MediaService, *, conversation_id: UUID, actor: Actor, new: UploadedFile, now: datetime
) -> Attachment:
    """Store a file for a later message; return its row. Commits the session before decoding, which takes long."""
    async with media.renderer.slot(actor.user_id):
        await check_upload_allowed(session, conversation_id=conversation_id, actor=actor)
        await commit_now(session)
        file = await _read(new.file, media.renderer)
    key = f"{_FOLDER}/{secrets.token_hex(16)}{file.suffix}"
    await media.store.put_async(key, file.content)

    await accounts.lock_user(session, actor.user_id)
    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    deletion.check_customer_not_deleted(conversation)
    await _check_unsent(session, actor)
    attachment = Attachment(
        conversation_id=conversation_id,
        uploader_id=actor.user_id,
        key=key,
        name=_clean_name(new.name, suffix=file.suffix),
        content_type=file.content_type,
        size=len(file.content),
        width=file.width,
        height=file.height,
        created_at=now,
    )
    session.add(attachment)
    await session.flush()
    return attachment


async def check_upload_allowed(session: AsyncSession, *, conversation_id: UUID, actor: Actor) -> None:
    """Raise an error if one more upload is not allowed, before its body is read."""
    deletion.check_customer_not_deleted(
        await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    )
    await _check_unsent(session, actor)


async def _check_unsent(session: AsyncSession, actor: Actor) -> None:
    if await queries.count_unsent(session, uploader_id=actor.user_id) >= MAX_UNSENT:
        raise TooManyAttachmentsError


async def _read(file: BinaryIO, renderer: Renderer) -> _File:
    if await asyncio.to_thread(file.read, len(_PDF_SIGNATURE)) == _PDF_SIGNATURE:
        return _File(_PDF_SIGNATURE + await asyncio.to_thread(file.read), PDF, ".pdf")
    try:
        rendition = await renderer.render(file)
    except UnsupportedImageError:
        raise UnsupportedAttachmentError from None
    largest = rendition.files[max(rendition.files)]
    return _File(largest, WEBP, ".webp", width=rendition.width, height=rendition.height)


def _clean_name(name: str, *, suffix: str) -> str:
    """Return the last part of a file's name without invisible characters, with the suffix of its content."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    printable = "".join(character for character in last if character.isprintable()).strip(" .")
    stem = printable.rpartition(".")[0] or printable or "file"
    return (stem[: MAX_NAME - len(suffix)] if is_visible(stem) else "file") + suffix


async def fetch(
    session: AsyncSession, store: ObjectStore, *, conversation_id: UUID, attachment_id: UUID, actor: Actor
) -> tuple[Attachment, bytes]:
    """Return an attachment and its content. Only its uploader may fetch one that wasn't sent yet."""
    await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    attachment = await queries.get_attachment(
        session, attachment_id=attachment_id, conversation_id=conversation_id, user_id=actor.user_id
    )
    await commit_now(session)
    return attachment, await files.read(store, attachment.key)


async def sweep(sessions: Sessions, store: ObjectStore, *, now: datetime) -> int:
    """Delete uploads that weren't sent within a day, and files without a row; return how many files."""
    await delete_in_batches(sessions, Attachment, queries.is_unsent(), Attachment.created_at < now - UNSENT_KEPT)
    found = await files.list_files(store, prefix=_FOLDER)
    async with sessions() as session:
        named = await queries.list_attachment_keys(session)
    return len(await files.delete_orphans(store, files=found, has_row=named.__contains__, now=now))
