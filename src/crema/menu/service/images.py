"""Pictures of products and categories: their rows are in the database, their files in the media store.

Files are written before their row, and are not removed together with it. So every committed row has its files, even
after a failure or a rollback. `sweep` removes files without a row.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from obstore.store import ObjectStore
from pydantic import MISSING
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError, NotFoundError
from crema.db.session import Sessions, commit_now
from crema.media.domain import MEDIA_NAME, media_name
from crema.media.service import MediaService, files
from crema.media.service.rendering import Rendition
from crema.menu import queries
from crema.menu.domain import MAX_IMAGES
from crema.menu.models import Category, ProductImage
from crema.menu.schemas import ImagePatch
from crema.menu.service import documents
from crema.schemas import value_or


class TooManyImagesError(ConflictError):
    """A picture was sent for a product that has as many as are allowed."""

    code = "too_many_images"
    title = f"A product has at most {MAX_IMAGES} pictures."
    advice = "Delete one first."


@dataclass(frozen=True, slots=True)
class Sweep:
    """The files that a sweep removed, and the ids of pictures whose files are missing. Those need a person."""

    removed: Sequence[str]
    missing: Sequence[UUID]


async def check_room(session: AsyncSession, *, product_id: UUID) -> None:
    """Raise TooManyImagesError if a product can't have one more picture, before the upload is read or decoded."""
    product = await queries.get_product(session, product_id)
    _check_room(product.images)


async def add_image(
    session: AsyncSession,
    media: MediaService,
    *,
    product_id: UUID,
    person_id: UUID,
    file: BinaryIO,
    alt: str,
    now: datetime,
) -> ProductImage:
    """Add an uploaded picture as the last one of a product and return it.

    It commits what the session holds before it decodes, because decoding takes long.
    """
    async with media.renderer.slot(person_id):
        await check_room(session, product_id=product_id)
        await commit_now(session)
        rendition = await media.renderer.render(file)
    key = await _store(media, rendition)

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
    session: AsyncSession, *, product_id: UUID, image_id: UUID, changes: ImagePatch, now: datetime
) -> ProductImage:
    """Change the alternative text of a picture, or its position among the product's pictures, and return it."""
    product = await queries.get_product_for_update(session, product_id)
    images = list(await queries.list_images(session, product_id))
    image = _find(images, image_id)

    image.alt = value_or(changes.alt, image.alt)
    if changes.position is not MISSING:
        images.remove(image)
        images.insert(changes.position, image)
    _renumber(images)
    product.updated_at = now
    await documents.refresh(session, [product_id])
    return image


async def delete_image(session: AsyncSession, *, product_id: UUID, image_id: UUID, now: datetime) -> None:
    """Delete a picture. Its files stay until a sweep, because this transaction may still fail."""
    product = await queries.get_product_for_update(session, product_id)
    images = list(await queries.list_images(session, product_id))
    image = _find(images, image_id)

    images.remove(image)
    _renumber(images)
    await session.delete(image)
    product.updated_at = now
    await documents.refresh(session, [product_id])


async def set_category_image(
    session: AsyncSession,
    media: MediaService,
    *,
    category_id: UUID,
    person_id: UUID,
    file: BinaryIO,
    alt: str,
    now: datetime,
) -> Category:
    """Set the picture of a category to an upload and return the category.

    It commits what the session holds before it decodes, as `add_image` does.
    """
    async with media.renderer.slot(person_id):
        await queries.get_category(session, category_id)
        await commit_now(session)
        rendition = await media.renderer.render(file)
    key = await _store(media, rendition)

    category = await queries.get_category_for_update(session, category_id)
    category.image_key = key
    category.image_alt = alt
    category.image_width = rendition.width
    category.image_height = rendition.height
    category.image_widths = sorted(rendition.files)
    category.image_created_at = now
    category.updated_at = now
    await documents.refresh(session, [])
    return category


async def delete_category_image(session: AsyncSession, *, category_id: UUID, now: datetime) -> None:
    """Delete the picture of a category. Its files stay until a sweep."""
    category = await queries.get_category_for_update(session, category_id)
    if category.image_key is None:
        raise NotFoundError

    category.image_key = category.image_alt = category.image_widths = None
    category.image_width = category.image_height = category.image_created_at = None
    category.updated_at = now
    await documents.refresh(session, [])


async def _store(media: MediaService, rendition: Rendition) -> str:
    """Write the files of a picture, and return the key that names them."""
    key = secrets.token_hex(16)
    for width, encoded in rendition.files.items():
        await media.store.put_async(media_name(key, width), encoded)
    return key


def _find(images: Sequence[ProductImage], image_id: UUID) -> ProductImage:
    for image in images:
        if image.id == image_id:
            return image
    raise NotFoundError


def _renumber(images: Sequence[ProductImage]) -> None:
    for position, image in enumerate(images):
        image.position = position


async def read_media(store: ObjectStore, name: str) -> bytes:
    """Return the content of a picture's file. Names that the application never gives are not looked up."""
    if not MEDIA_NAME.fullmatch(name):
        raise NotFoundError
    return await files.read(store, name)


async def sweep(sessions: Sessions, store: ObjectStore, *, now: datetime) -> Sweep:
    """Remove files without a picture. No database connection is held while the store answers."""
    found = {name: at for name, at in (await files.list_files(store)).items() if MEDIA_NAME.fullmatch(name)}
    async with sessions() as session:
        images = await queries.list_all_images(session)

    named = {media_name(image.key, width) for image in images for width in image.widths}
    missing = [
        image.id
        for image in images
        if image.created_at < now - files.MIN_ORPHAN_AGE
        and any(media_name(image.key, width) not in found for width in image.widths)
    ]
    removed = await files.delete_orphans(store, files=found, has_row=named.__contains__, now=now)
    return Sweep(removed=removed, missing=missing)
