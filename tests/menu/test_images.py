"""Pictures of products: what is taken, what becomes of it, and what is refused."""

from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from obstore.store import LocalStore
from PIL import Image

from crema.media.deps import MediaState
from crema.media.domain import MAX_BYTES
from crema.media.service import decoder, rendering
from crema.menu.domain import MAX_IMAGES
from crema.web.state import state_of
from factories.menu import Json, add_image, animated, decode, encode, make_product, upload
from factories.pictures import HEIC, png
from fixtures.app import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]

GPS = 0x8825
ORIENTATION = 0x0112
DESCRIPTION = 0x010E


def files_of(app: FastAPI) -> list[str]:
    store: LocalStore = state_of(app, MediaState).store
    return sorted(file["path"] for batch in store.list() for file in batch)


async def images_of(client: httpx2.AsyncClient, product: Json) -> list[Json]:
    images: list[Json] = (await client.get(f"/product/{product['id']}")).json()["images"]
    return images


async def test_a_picture_is_kept_in_three_widths(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)

    response = await upload(manager, product, png(2000, 1500), alt="Латте в стакане")

    image = response.json()
    sizes = [decode((await client.get(url)).content).size for url in image["urls"].values()]
    assert response.status_code == 201
    assert response.headers["location"] == f"/product/{product['id']}/image/{image['id']}"
    assert [image[name] for name in ("alt", "position", "width", "height")] == ["Латте в стакане", 0, 1280, 960]
    assert [*image["urls"]] == ["320", "640", "1280"]
    assert sizes == [(320, 240), (640, 480), (1280, 960)]
    assert await images_of(client, product) == [image]


async def test_a_picture_is_never_enlarged(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)

    images = {width: await add_image(manager, product, png(width, 10)) for width in (200, 320, 500, 1280)}

    assert {width: [*image["urls"]] for width, image in images.items()} == {
        200: ["200"],
        320: ["320"],
        500: ["320", "500"],
        1280: ["320", "640", "1280"],
    }
    assert [image["width"] for image in images.values()] == [*images]


KINDS = (
    ("RGB", "JPEG"),
    ("L", "JPEG"),
    ("CMYK", "JPEG"),
    ("P", "PNG"),
    ("LA", "PNG"),
    ("1", "PNG"),
    ("I;16", "PNG"),
    ("RGBA", "WEBP"),
    ("RGB", "MPO"),
)


async def test_every_kind_of_pixels_becomes_webp(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    formats = {}

    for mode, kind in KINDS:
        image = await add_image(manager, product, encode(Image.new(mode, (400, 300)), kind))
        formats[mode, kind] = decode((await client.get(image["urls"]["400"])).content).format

    assert formats == dict.fromkeys(KINDS, "WEBP")


async def test_transparency_stays(client: httpx2.AsyncClient, manager: httpx2.AsyncClient) -> None:
    content = encode(Image.new("RGBA", (64, 64), (200, 100, 50, 0)), "PNG")

    image = await add_image(manager, await make_product(manager), content)

    served = decode((await client.get(image["urls"]["64"])).content).convert("RGBA")
    assert served.getpixel((5, 5))[3] == 0


async def test_u2_a_picture_is_turned_upright_and_forgets_where_it_was_taken(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    photo = Image.new("RGB", (600, 400), "blue")
    photo.paste("red", (0, 0, 300, 400))
    exif = Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION], exif[GPS] = 6, "at home", {1: "N", 2: (55.0, 45.0, 7.0)}
    content = encode(photo, "JPEG", exif=exif)

    image = await add_image(manager, await make_product(manager), content)

    served = await client.get(image["urls"]["400"])
    shown = decode(served.content)
    assert b"at home" in content
    assert b"at home" not in served.content
    assert dict(shown.getexif()) == {}
    assert shown.size == (400, 600)
    assert shown.getpixel((200, 100))[0] > 200


async def test_u2_nothing_appended_to_a_picture_is_served(
    client: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    content = encode(Image.new("RGB", (400, 300)), "JPEG") + b"<script>alert(document.domain)</script>"

    image = await add_image(manager, await make_product(manager), content)

    for url in image["urls"].values():
        assert b"<script" not in (await client.get(url)).content


NAMED = (
    ("latte.html", "text/html"),
    ("latte.svg", "image/svg+xml"),
    ("../../../etc/passwd", "image/png"),
    ("..%2f..%2fetc%2fpasswd", "application/x-php"),
    ("C:\\windows\\system32\\x.png", "image/png"),
    ("a" * 300, ""),
)


async def test_u3_names_and_types_that_people_send_mean_nothing(app: FastAPI, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)

    answers = [await upload(manager, product, name=name, content_type=kind) for name, kind in NAMED]

    urls = [url for answer in answers for url in answer.json()["urls"].values()]
    assert files_of(app) == sorted(url.removeprefix("/media/") for url in urls)
    assert len(urls) == len(NAMED)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
REFUSED = {
    "svg": (SVG, 415, "unsupported_image"),
    "svg after a declaration": (b'<?xml version="1.0"?>' + SVG, 415, "unsupported_image"),
    "html": (b"<!doctype html><script>alert(1)</script>", 415, "unsupported_image"),
    "gif": (encode(Image.new("P", (8, 8)), "GIF"), 415, "unsupported_image"),
    "gif that is also a script": (b"GIF89a/*" + b"\0" * 50 + b"*/=1;alert(1)", 415, "unsupported_image"),
    "bmp": (encode(Image.new("RGB", (8, 8)), "BMP"), 415, "unsupported_image"),
    "tiff": (encode(Image.new("RGB", (8, 8)), "TIFF"), 415, "unsupported_image"),
    "nothing": (b"", 415, "unsupported_image"),
    "noise": (bytes(range(256)) * 20, 415, "unsupported_image"),
    "too wide": (png(8001, 1), 422, "image_too_large"),
    "too many pixels": (encode(Image.new("1", (4001, 4000)), "PNG"), 422, "image_too_large"),
    "animated webp": (animated("WEBP"), 422, "image_animated"),
    "animated png": (animated("PNG"), 422, "image_animated"),
    "half a png": (encode(Image.effect_noise((200, 200), 60), "PNG")[:9000], 422, "image_broken"),
    "half a jpeg": (encode(Image.effect_noise((200, 200), 60), "JPEG")[:5000], 422, "image_broken"),
    "half a webp": (encode(Image.effect_noise((200, 200), 60), "WEBP")[:3000], 422, "image_broken"),
    "too wide an avif": (encode(Image.new("RGB", (8001, 1)), "AVIF"), 422, "image_too_large"),
    "too many pixels of avif": (encode(Image.new("L", (4001, 4000)), "AVIF", speed=10), 422, "image_too_large"),
    "animated avif": (animated("AVIF"), 422, "image_animated"),
    "half an avif": (encode(Image.effect_noise((200, 200), 60), "AVIF")[:3000], 422, "image_broken"),
    "half a heic": (HEIC[: len(HEIC) // 2], 422, "image_broken"),
    "the head of a heic": (HEIC[:20], 422, "image_broken"),
    "a film": (b"\x00\x00\x00\x18ftypmp42" + bytes(400), 415, "unsupported_image"),
    "the head of a png": (png()[:20], 422, "image_broken"),
    "the head of a jpeg": (b"\xff\xd8\xff\xe0", 422, "image_broken"),
    "a jpeg of endless scans": (
        encode(Image.new("RGB", (8, 8)), "JPEG") + b"\xff\xda" * 61,
        422,
        "image_broken",
    ),
}


async def test_u2_what_is_no_safe_picture_is_refused(app: FastAPI, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)

    answers = {case: await upload(manager, product, content) for case, (content, _, _) in REFUSED.items()}

    found = {case: (answer.status_code, answer.json()["code"]) for case, answer in answers.items()}
    assert found == {case: (status, code) for case, (_, status, code) in REFUSED.items()}
    assert files_of(app) == []
    assert await images_of(manager, product) == []


async def test_u1_a_small_file_that_unpacks_to_eighty_megapixels_is_refused_undecoded(
    app: FastAPI, manager: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = encode(Image.new("1", (9000, 9000)), "PNG")
    loaded: list[str] = []
    monkeypatch.setattr(Image.Image, "load", lambda *_: loaded.append("decoded"))
    with pytest.raises(decoder.RefusedError, match="too_large"):
        decoder.render(bomb, decoder.Limits(**rendering.LIMITS))

    response = await upload(manager, await make_product(manager), bomb)

    assert len(bomb) < 20_000
    assert response.json()["code"] == "image_too_large"
    assert loaded == []
    assert files_of(app) == []


async def test_u1_a_webp_canvas_beyond_the_limit_is_refused(manager: httpx2.AsyncClient) -> None:
    bomb = bytearray(animated("WEBP"))
    bomb[24:30] = (16_000).to_bytes(3, "little") * 2  # the canvas in the VP8X header

    response = await upload(manager, await make_product(manager), bytes(bomb))

    assert response.json()["code"] == "image_too_large"


async def test_u1_a_file_of_five_mebibytes_is_taken_and_one_byte_more_is_not(
    app: FastAPI, manager: httpx2.AsyncClient
) -> None:
    product = await make_product(manager)
    largest = png().ljust(MAX_BYTES, b"\0")

    over = await upload(manager, product, largest + b"\0")
    files = files_of(app)
    exact = await upload(manager, product, largest)

    assert (over.status_code, over.json()["code"], files) == (413, "too_large", [])
    assert exact.status_code == 201


async def test_s1_a_body_beyond_six_mebibytes_is_not_read(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)

    response = await upload(manager, product, b"\0" * (6 * 1024 * 1024))

    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert await images_of(manager, product) == []


FORMS: list[Json] = [
    {},
    {"data": {"file": "latte.png"}},
    {"files": {"picture": ("a.png", png(), "image/png")}},
    {"files": {"file": ("a.png", png(), "image/png")}, "data": {"position": "1"}},
    {"files": {"file": ("a.png", png(), "image/png")}, "data": {"alt": "x" * 301}},
    {"files": {"file": ("a.png", png(), "image/png")}, "data": {"alt": "a\0b"}},
    {"json": {"file": "latte.png"}},
]


async def test_refuses_a_form_of_another_kind(app: FastAPI, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)

    answers = [await manager.post(f"/product/{product['id']}/images", **form) for form in FORMS]

    assert [answer.status_code for answer in answers] == [422] * len(FORMS)
    assert files_of(app) == []


async def test_u4_a_product_has_ten_pictures_at_most(app: FastAPI, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    for _ in range(MAX_IMAGES):
        await add_image(manager, product)

    response = await upload(manager, product)

    assert (response.status_code, response.json()["code"]) == (409, "too_many_images")
    assert len(await images_of(manager, product)) == len(files_of(app)) == MAX_IMAGES


async def test_a_picture_moves_and_the_others_make_room(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    images = {alt: await add_image(manager, product, alt=alt) for alt in "abc"}
    orders = []

    for alt, position in (("c", 0), ("c", 1), ("a", 2), ("c", 9), ("c", 9)):
        await manager.patch(f"/product/{product['id']}/image/{images[alt]['id']}", json={"position": position})
        found = await images_of(manager, product)
        orders.append("".join(image["alt"] for image in found))
        assert [image["position"] for image in found] == [0, 1, 2]

    assert orders == ["cab", "acb", "cba", "bac", "bac"]


async def test_the_text_changes_without_the_place(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    first, second = [await add_image(manager, product, alt=alt) for alt in "ab"]

    response = await manager.patch(f"/product/{product['id']}/image/{first['id']}", json={"alt": ""})

    assert response.json() == first | {"alt": ""}
    assert await images_of(manager, product) == [first | {"alt": ""}, second]


WRONG: list[Json] = [
    {"position": -1},
    {"position": 10},
    {"position": "0"},
    {"alt": None},
    {"alt": "x" * 301},
    {"key": "x"},
]


async def test_refuses_a_change_that_is_none(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    image = await add_image(manager, product)

    answers = [await manager.patch(f"/product/{product['id']}/image/{image['id']}", json=wrong) for wrong in WRONG]

    assert [answer.status_code for answer in answers] == [422] * len(WRONG)
    assert await images_of(manager, product) == [image]


async def test_a_deleted_picture_leaves_its_product(manager: httpx2.AsyncClient, clock: Clock) -> None:
    product = await make_product(manager)
    first, second = [await add_image(manager, product, alt=alt) for alt in "ab"]
    clock.advance(minutes=1)

    response = await manager.delete(f"/product/{product['id']}/image/{first['id']}")

    left = (await manager.get(f"/product/{product['id']}")).json()
    assert response.status_code == 204
    assert left["images"] == [second | {"position": 0}]
    assert left["updated_at"] == "2026-11-23T09:01:00.000000Z"


async def test_a4_a_picture_belongs_to_its_product_only(manager: httpx2.AsyncClient) -> None:
    product, other = await make_product(manager), await make_product(manager)
    image = await add_image(manager, product)
    path = f"/product/{other['id']}/image/{image['id']}"

    answers = [await manager.patch(path, json={"alt": "x"}), await manager.delete(path)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert await images_of(manager, product) == [image]


async def test_pictures_of_what_does_not_exist_are_not_found(app: FastAPI, manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    await manager.delete(f"/product/{product['id']}")

    answers = [await upload(manager, {"id": id_}) for id_ in (uuid4(), product["id"])]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert files_of(app) == []


async def test_only_editors_touch_pictures(
    app: FastAPI, client: httpx2.AsyncClient, customer: httpx2.AsyncClient, manager: httpx2.AsyncClient
) -> None:
    product = await make_product(manager)
    image = await add_image(manager, product)
    path = f"/product/{product['id']}/image/{image['id']}"

    answers = [
        [
            (await upload(someone, product)).status_code,
            (await someone.patch(path, json={"alt": "x"})).status_code,
            (await someone.delete(path)).status_code,
        ]
        for someone in (client, customer)
    ]

    assert answers == [[401] * 3, [403] * 3]
    assert await images_of(manager, product) == [image]
    assert len(files_of(app)) == 1
