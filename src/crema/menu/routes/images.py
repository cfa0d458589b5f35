"""Pictures of products over HTTP, and the files themselves."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Form, Response, UploadFile
from pydantic import Field

from crema.accounts.deps import MenuEditor
from crema.menu.deps import Media
from crema.menu.schemas import Alt, ImageOut, ImagePatch
from crema.menu.service import images
from crema.schemas import Input
from crema.web.clock import Now
from crema.web.problem import refusals
from crema.web.routing import router as new_router
from crema.web.transaction import Transaction

router = new_router("Menu")

UPLOAD_LIMIT: Final = 6 * 1024 * 1024
MEDIA_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",  # a name never gets other content
    "Content-Disposition": "inline",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",  # front ends elsewhere show them
}


class UploadImage(Input):
    """A picture as a form."""

    file: UploadFile = Field(description="JPEG, PNG or WebP; up to 5 MiB, 16 megapixels, 8000 pixels a side.")
    alt: Alt = ""


@router.post(
    "/product/{product_id}/images",
    status_code=201,
    summary="Add a picture",
    max_body_size=UPLOAD_LIMIT,
    responses=refusals(401, 403, 404, 409, 413, 415, 422),
)
async def add_image(
    product_id: UUID,
    body: Annotated[UploadImage, Form(media_type="multipart/form-data")],
    response: Response,
    tx: Transaction,
    media: Media,
    _: MenuEditor,
    now: Now,
) -> ImageOut:
    """It comes last. Kept as WebP in up to three widths, without metadata; what the file is called doesn't matter."""
    content = await body.file.read()
    image = await images.add_image(tx, media, product_id=product_id, content=content, alt=body.alt, now=now)
    response.headers["Location"] = f"/product/{product_id}/image/{image.id}"
    return ImageOut.model_validate(image)


@router.patch(
    "/product/{product_id}/image/{image_id}",
    summary="Change a picture's text or place",
    responses=refusals(401, 403, 404, 422),
)
async def change_image(
    product_id: UUID, image_id: UUID, body: ImagePatch, tx: Transaction, _: MenuEditor, now: Now
) -> ImageOut:
    image = await images.edit_image(tx, product_id=product_id, image_id=image_id, fields=body.changes(), now=now)
    return ImageOut.model_validate(image)


@router.delete(
    "/product/{product_id}/image/{image_id}",
    status_code=204,
    summary="Delete a picture",
    responses=refusals(401, 403, 404, 422),
)
async def delete_image(product_id: UUID, image_id: UUID, tx: Transaction, _: MenuEditor, now: Now) -> None:
    await images.delete_image(tx, product_id=product_id, image_id=image_id, now=now)


@router.get(
    "/media/{name:path}",
    summary="Fetch a picture's file",
    response_class=Response,
    responses={200: {"description": "The picture.", "content": {"image/webp": {}}}, **refusals(404, 422)},
)
async def fetch_media(name: str, media: Media) -> Response:
    content = await images.read_media(media, name)
    etag = f'"{name.removesuffix(".webp")}"'
    return Response(content, media_type="image/webp", headers={**MEDIA_HEADERS, "ETag": etag})
