"""Dependencies of routes that accept or send files."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Request
from obstore.store import ObjectStore
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import commit_now
from crema.media.domain import MAX_BYTES, Quota
from crema.media.service import MediaService, quotas
from crema.media.service.rendering import Renderer
from crema.web.forms import declared_size
from crema.web.state import state_of


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaState:
    """The store and the renderer of files that the application holds."""

    store: ObjectStore
    renderer: Renderer


async def _store(request: Request) -> ObjectStore:
    return state_of(request.app, MediaState).store


MediaStore = Annotated[ObjectStore, Depends(_store)]


async def _media(request: Request, store: MediaStore) -> MediaService:
    return MediaService(store, state_of(request.app, MediaState).renderer)


Media = Annotated[MediaService, Depends(_media)]
UPLOAD_LIMIT: Final = 6 * 1024 * 1024
"""Bytes of a body with one file: more than `MAX_BYTES`, so that most files that are too large get a clear error."""


async def count_upload(
    request: Request, session: AsyncSession, *, person_id: UUID, quota: Quota, now: datetime
) -> None:
    """Count an upload before its body is read, and commit: uploads that are refused later count, too."""
    size = declared_size(request, at_most=MAX_BYTES)
    await quotas.count(session, person_id=person_id, quota=quota, size=size, now=now)
    await commit_now(session)
