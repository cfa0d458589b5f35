"""Pictures of products and headings: rows here, files in the media store.

Files are written before their row, and never removed with it: a row that is visible always has its files, whatever
fails or is rolled back. Files nobody names are left to `sweep`.
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
    """A product has as many pictures as it can."""

    code = "too_many_images"
    title = f"A product has at most {MAX_IMAGES} pictures."
    advice = "Delete one first."


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep removed, and the pictures whose files are missing: those need a person."""

    removed: Sequence[str]
    missing: Sequence[UUID]


async def check_room(session: AsyncSession, *, product_id: UUID) -> None:
    """Refuse a picture more than a product can have, before anything is read or decoded."""
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
    """Make a picture of an upload and put it last. Commits first what the session holds: decoding takes a while."""
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
    session: AsyncSession, *, product_id: UUID, image_id: UUID, wanted: ImagePatch, now: datetime
) -> ProductImage:
    """Set the alternative text, or the place among the product's pictures; the others move over."""
    product = await queries.get_product_for_update(session, product_id)
    images = list(await queries.list_images(session, product_id))
    image = _find(images, image_id)

    image.alt = value_or(wanted.alt, image.alt)
    if wanted.position is not MISSING:
        images.remove(image)
        images.insert(wanted.position, image)
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
    """Make an upload the picture of a heading, instead of the one it had. Commits first, as `add_image` does."""
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
    """Take the picture off a heading. Its files stay until a sweep."""
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


def _number(images: Sequence[ProductImage]) -> None:
    for place, image in enumerate(images):
        image.position = place


async def read_media(store: ObjectStore, name: str) -> bytes:
    """Read a file of ours; any name we would not give is not looked up."""
    if not MEDIA_NAME.fullmatch(name):
        raise NotFoundError
    return await files.read(store, name)


async def sweep(sessions: Sessions, store: ObjectStore, *, now: datetime) -> Sweep:
    """Remove files that no picture names. No connection is held while the store thinks."""
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
