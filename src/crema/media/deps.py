"""What routes that take or give files need of the application."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Request
from obstore.store import ObjectStore
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.session import keep
from crema.media.domain import MAX_BYTES, Quota
from crema.media.service import MediaService, quotas
from crema.media.service.rendering import Renderer
from crema.web.forms import declared_size
from crema.web.state import state_of


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaState:
    """What the application holds for files."""

    store: ObjectStore
    renderer: Renderer


async def _store(request: Request) -> ObjectStore:
    return state_of(request.app, MediaState).store


MediaStore = Annotated[ObjectStore, Depends(_store)]


async def _media(request: Request, store: MediaStore) -> MediaService:
    return MediaService(store, state_of(request.app, MediaState).renderer)


Media = Annotated[MediaService, Depends(_media)]
UPLOAD_LIMIT: Final = 6 * 1024 * 1024
"""Bytes of a body that brings one file: somewhat more than a file has, so that most are told what is wrong."""


async def admit(request: Request, session: AsyncSession, *, person_id: UUID, quota: Quota, now: datetime) -> None:
    """Count an upload before its body is read, for good: what is refused later has cost us too."""
    size = declared_size(request, at_most=MAX_BYTES)
    await quotas.count(session, person_id=person_id, quota=quota, size=size, now=now)
    await keep(session)
