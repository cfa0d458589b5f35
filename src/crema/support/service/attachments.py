"""Files people send: pictures, encoded anew like those of products, and PDFs as they came.

The file is written before its row, and the row before the message that sends it. What is never sent is swept away.
"""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from obstore.store import ObjectStore
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.core.errors import ConflictError, NotFoundError, TooLargeError, UnsupportedTypeError
from crema.core.lookalikes import is_visible
from crema.db.session import keep
from crema.menu.service import pictures
from crema.menu.service.pictures import UnsupportedImageError
from crema.support import queries
from crema.support.models import Attachment
from crema.support.service import leaving, limits

MAX_BYTES: Final = 5 * 1024 * 1024
MAX_UNSENT: Final = 10
KEPT_UNSENT: Final = timedelta(days=1)
MAX_NAME: Final = 120
PDF: Final = "application/pdf"
WEBP: Final = "image/webp"
_FOLDER: Final = "chat"
_SWEPT_AT_ONCE: Final = 500


class UnsupportedAttachmentError(UnsupportedTypeError):
    """Neither a picture nor a PDF, whatever its name says."""

    code = "unsupported_attachment"
    title = "Send a JPEG, PNG or WebP picture, or a PDF."


class TooManyAttachmentsError(ConflictError):
    """Uploads that wait to be sent."""

    code = "too_many_attachments"
    title = f"At most {MAX_UNSENT} uploads may wait to be sent."


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str
    suffix: str
    width: int | None = None
    height: int | None = None


async def upload(
    session: AsyncSession,
    store: ObjectStore,
    *,
    conversation_id: UUID,
    actor: Actor,
    name: str,
    content: bytes,
    now: datetime,
) -> Attachment:
    """Keep a file for a message to come. Commits first what the session holds: decoding takes a while."""
    if len(content) > MAX_BYTES:
        raise TooLargeError(f"An attachment has at most {MAX_BYTES // 1024**2} MiB.")
    conversation = await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    leaving.check_customer_is_here(conversation)
    await _check_room(session, actor)
    await limits.count_bytes(session, actor=actor, size=len(content), now=now)
    await keep(session)

    file = await _read(content)
    key = f"{_FOLDER}/{secrets.token_hex(16)}{file.suffix}"
    await store.put_async(key, file.content)

    conversation = await queries.get_conversation(
        session, conversation_id=conversation_id, actor=actor, for_update=True
    )
    leaving.check_customer_is_here(conversation)
    await _check_room(session, actor)
    attachment = Attachment(
        conversation_id=conversation_id,
        uploader_id=actor.user_id,
        key=key,
        name=_plain(name, suffix=file.suffix),
        content_type=file.content_type,
        size=len(file.content),
        width=file.width,
        height=file.height,
        created_at=now,
    )
    session.add(attachment)
    await session.flush()
    return attachment


async def _check_room(session: AsyncSession, actor: Actor) -> None:
    if await queries.count_unsent(session, uploader_id=actor.user_id) >= MAX_UNSENT:
        raise TooManyAttachmentsError


async def _read(content: bytes) -> _File:
    if content.startswith(b"%PDF-"):
        return _File(content, PDF, ".pdf")
    try:
        rendition = await pictures.render(content)
    except UnsupportedImageError:
        raise UnsupportedAttachmentError from None
    largest = rendition.files[max(rendition.files)]
    return _File(largest, WEBP, ".webp", width=rendition.width, height=rendition.height)


def _plain(name: str, *, suffix: str) -> str:
    """Keep of a file's name its last part, without characters that don't show, with the ending of what it is."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    printable = "".join(character for character in last if character.isprintable()).strip(" .")
    stem = printable.rpartition(".")[0] or printable or "file"
    return (stem[: MAX_NAME - len(suffix)] if is_visible(stem) else "file") + suffix


async def fetch(
    session: AsyncSession, store: ObjectStore, *, conversation_id: UUID, attachment_id: UUID, actor: Actor
) -> tuple[Attachment, bytes]:
    """Read a file. What is not sent yet is its uploader's alone."""
    await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
    attachment = await queries.get_attachment(
        session, attachment_id=attachment_id, conversation_id=conversation_id, user_id=actor.user_id
    )
    await keep(session)
    try:
        found = await store.get_async(attachment.key)
    except FileNotFoundError:
        raise NotFoundError from None
    return attachment, bytes(await found.bytes_async())


async def sweep(session: AsyncSession, store: ObjectStore, *, now: datetime) -> int:
    """Remove uploads nobody sent within a day, row and file, and files without a row; return how many."""
    expired = delete(Attachment).where(
        Attachment.id.in_(
            queries.unsent().where(Attachment.created_at < now - KEPT_UNSENT).with_only_columns(Attachment.id)
        )
    )
    await session.execute(expired)
    files = {file["path"]: file["last_modified"] async for batch in store.list(prefix=_FOLDER) for file in batch}
    await keep(session)
    known = await queries.list_attachment_keys(session)
    orphans = [path for path, written in files.items() if path not in known and written < now - timedelta(hours=1)]
    if orphans:
        await store.delete_async(orphans)
    return len(orphans)
