"""Rendering pictures, counting uploads, sweeping files."""

from dataclasses import dataclass

from obstore.store import ObjectStore

from crema.media.service.rendering import Renderer


@dataclass(frozen=True, slots=True)
class MediaService:
    """The store of files, and what makes pictures for it."""

    store: ObjectStore
    renderer: Renderer
