"""Pictures of products: rows here, files in the media store.

Files are written before their row, and never removed with it: a row that is visible always has its files, whatever
fails or is rolled back. Files nobody names are left to `sweep_media`.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from obstore.store import ObjectStore
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError, NotFoundError, TooLargeError
from crema.db.session import keep
from crema.menu import domain, queries
from crema.menu.domain import MAX_IMAGES, MEDIA_NAME
from crema.menu.models import ProductImage
from crema.menu.service import documents, pictures

MAX_BYTES: Final = 5 * 1024 * 1024
SWEEP_AFTER: Final = timedelta(hours=1)


class TooManyImagesError(ConflictError):
    """A product has as many pictures as it can."""

    code = "too_many_images"
    title = f"A product has at most {MAX_IMAGES} pictures."


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep removed, and the pictures whose files are missing: those need a person."""

    removed: Sequence[str]
    missing: Sequence[UUID]


async def add_image(
    session: AsyncSession, store: ObjectStore, *, product_id: UUID, content: bytes, alt: str, now: datetime
) -> ProductImage:
    """Make a picture of an upload and put it last. Commits first what the session holds: decoding takes a while."""
    if len(content) > MAX_BYTES:
        raise TooLargeError(f"A picture has at most {MAX_BYTES // 1024**2} MiB.")
    await queries.get_product_for_update(session, product_id)
    _check_room(await queries.list_images(session, product_id))
    await keep(session)

    rendition = await pictures.render(content)
    key = secrets.token_hex(16)
    for width, encoded in rendition.files.items():
        await store.put_async(domain.media_name(key, width), encoded)

    product = await queries.get_product_for_update(session, product_id)
    others = await queries.list_images(session, product_id)
    _check_room(others)
    image = ProductImage(
        product_id=product_id,
        key=key,
        alt=alt,
        width=rendition.width,
        height=rendition.height,
        widths=sorted(rendition.files),
        position=len(others),
        created_at=now,
    )
    session.add(image)
    product.updated_at = now
    await documents.refresh(session, [product_id])
    return image


def _check_room(images: Sequence[ProductImage]) -> None:
    if len(images) >= MAX_IMAGES:
        raise TooManyImagesError


async def edit_image(
    session: AsyncSession, *, product_id: UUID, image_id: UUID, fields: Mapping[str, Any], now: datetime
) -> ProductImage:
    """Set the alternative text, or the place among the product's pictures; the others move over."""
    product = await queries.get_product_for_update(session, product_id)
    images = list(await queries.list_images(session, product_id))
    image = _find(images, image_id)

    image.alt = fields.get("alt", image.alt)
    if "position" in fields:
        images.remove(image)
        images.insert(fields["position"], image)
    _number(images)
    product.updated_at = now
    await documents.refresh(session, [product_id])
    return image


async def delete_image(session: AsyncSession, *, product_id: UUID, image_id: UUID, now: datetime) -> None:
    """Take a picture off its product. Its files stay until a sweep: this transaction may still fail."""
    product = await queries.get_product_for_update(session, product_id)
    images = list(await queries.list_images(session, product_id))
    image = _find(images, image_id)

    images.remove(image)
    _number(images)
    await session.delete(image)
    product.updated_at = now
    await documents.refresh(session, [product_id])


def _find(images: Sequence[ProductImage], image_id: UUID) -> ProductImage:
    for image in images:
        if image.id == image_id:
            return image
    raise NotFoundError


def _number(images: Sequence[ProductImage]) -> None:
    for place, image in enumerate(images):
        image.position = place


async def read_media(store: ObjectStore, name: str) -> bytes:
    """Read a file of ours; any name we would not give is not looked up."""
    if not MEDIA_NAME.fullmatch(name):
        raise NotFoundError
    try:
        found = await store.get_async(name)
    except FileNotFoundError:
        raise NotFoundError from None
    return bytes(await found.bytes_async())


async def sweep_media(session: AsyncSession, store: ObjectStore, *, now: datetime) -> Sweep:
    """Remove files that no picture names, once they are an hour old: younger ones may belong to an open request."""
    cutoff = now - SWEEP_AFTER
    files = {
        file["path"]: file["last_modified"]
        async for batch in store.list()
        for file in batch
        if MEDIA_NAME.fullmatch(file["path"])
    }

    images = await queries.list_all_images(session)
    await keep(session)

    keys = {image.key for image in images}
    removed = sorted(name for name, written in files.items() if written < cutoff and name.partition("-")[0] not in keys)
    missing = [
        image.id
        for image in images
        if image.created_at < cutoff and any(domain.media_name(image.key, width) not in files for width in image.widths)
    ]

    if removed:
        await store.delete_async(removed)
    return Sweep(removed=removed, missing=missing)
