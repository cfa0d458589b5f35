"""Decoding pictures, reading workbooks, counting uploads, deleting orphaned files."""

from dataclasses import dataclass

from obstore.store import ObjectStore

from crema.media.service.rendering import Renderer


@dataclass(frozen=True, slots=True)
class MediaService:
    """The store of files, and the renderer of pictures."""

    store: ObjectStore
    renderer: Renderer
