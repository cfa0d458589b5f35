"""Routes of the pictures of products and categories, and of their files."""

from typing import Final
from uuid import UUID

from fastapi import Response

from crema.accounts.deps import MenuEditor
from crema.media.deps import UPLOAD_LIMIT, Media, MediaStore
from crema.menu.deps import CATEGORY, PRODUCT, CategoryImageUpload, ImageUpload
from crema.menu.schemas import CategoryOut, ImageForm, ImagePatch, ProductImageOut
from crema.menu.service import images
from crema.web.clock import Now
from crema.web.forms import form_schema
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Transaction

router = make_router("Menu")

MEDIA_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",  # the content of a name never changes
    "Content-Disposition": "inline",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",  # front ends of other origins show them
}


@router.post(
    "/product/{product_id}/images",
    status_code=201,
    summary="Add a picture",
    max_body_size=UPLOAD_LIMIT,
    openapi_extra=form_schema(
        ImageForm, description="JPEG, PNG, WebP, AVIF or HEIC; up to 5 MiB, 16 megapixels, 8000 pixels a side."
    ),
    responses=LOCATED | error_responses(401, 403, 404, 409, 413, 415, 422, 429),
)
async def add_image(
    product_id: UUID,
    upload: ImageUpload,
    response: Response,
    tx: Transaction,
    media: Media,
    editor: MenuEditor,
    now: Now,
) -> ProductImageOut:
    """The picture becomes the last one. It is stored as WebP in sRGB, in up to three widths, without metadata.

    The name of the file doesn't matter.

    A person may upload 60 pictures a minute and 1 GiB a day.
    """
    image = await images.add_image(
        tx,
        media,
        product_id=product_id,
        person_id=editor.user_id,
        file=upload.file,
        alt=upload.form.alt,
        now=now,
    )
    response.headers["Location"] = f"/product/{product_id}/image/{image.id}"
    return ProductImageOut.model_validate(image)


@router.post(
    "/category/{category_id}/image",
    summary="Set a category's picture",
    max_body_size=UPLOAD_LIMIT,
    openapi_extra=form_schema(
        ImageForm, description="JPEG, PNG, WebP, AVIF or HEIC; up to 5 MiB, 16 megapixels, 8000 pixels a side."
    ),
    dependencies=[CATEGORY.made],
    responses=error_responses(401, 403, 404, 413, 415, 422, 429),
)
async def set_category_image(
    category_id: UUID, upload: CategoryImageUpload, tx: Transaction, media: Media, editor: MenuEditor, now: Now
) -> CategoryOut:
    """A category has one picture; a new one replaces it.

    Formats, storage and quotas are as for a product's pictures.
    """
    category = await images.set_category_image(
        tx,
        media,
        category_id=category_id,
        person_id=editor.user_id,
        file=upload.file,
        alt=upload.form.alt,
        now=now,
    )
    return CategoryOut.model_validate(category)


@router.delete(
    "/category/{category_id}/image",
    status_code=204,
    summary="Delete a category's picture",
    dependencies=[CATEGORY.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def delete_category_image(category_id: UUID, tx: Transaction, _: MenuEditor, now: Now) -> None:
    await images.delete_category_image(tx, category_id=category_id, now=now)


@router.patch(
    "/product/{product_id}/image/{image_id}",
    summary="Change a picture's text or place",
    dependencies=[PRODUCT.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def change_image(
    product_id: UUID, image_id: UUID, body: ImagePatch, tx: Transaction, _: MenuEditor, now: Now
) -> ProductImageOut:
    image = await images.edit_image(tx, product_id=product_id, image_id=image_id, changes=body, now=now)
    return ProductImageOut.model_validate(image)


@router.delete(
    "/product/{product_id}/image/{image_id}",
    status_code=204,
    summary="Delete a picture",
    dependencies=[PRODUCT.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def delete_image(product_id: UUID, image_id: UUID, tx: Transaction, _: MenuEditor, now: Now) -> None:
    await images.delete_image(tx, product_id=product_id, image_id=image_id, now=now)


@router.get(
    "/media/{name:path}",
    summary="Fetch a picture's file",
    response_class=Response,
    responses={200: {"description": "The picture.", "content": {"image/webp": {}}}, **error_responses(404, 422)},
)
async def fetch_media(name: str, store: MediaStore) -> Response:
    content = await images.read_media(store, name)
    etag = f'"{name.removesuffix(".webp")}"'
    return Response(content, media_type="image/webp", headers={**MEDIA_HEADERS, "ETag": etag})
