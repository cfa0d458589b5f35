"""What becomes of colours: whatever a file's pixels mean, they come out as sRGB."""

from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image

from factories.menu import add_image, decode, encode, make_product
from factories.pictures import HEIC, swapped_profile

pytestmark = pytest.mark.anyio

RED, GREEN = (255, 0, 0), (0, 255, 0)
SIZE = (64, 48)


@pytest.fixture
async def product(manager: httpx2.AsyncClient) -> dict[str, Any]:
    return await make_product(manager)


async def shown(manager: httpx2.AsyncClient, product: dict[str, Any], content: bytes) -> Image.Image:
    """Upload a picture and fetch it as people see it."""
    image = await add_image(manager, product, content)
    fetched = decode((await manager.get(image["urls"][str(image["width"])])).content)
    assert "icc_profile" not in fetched.info
    return fetched


def is_near(found: Any, wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(one - other) <= tolerance for one, other in zip(found, wanted, strict=True))


def at_middle(image: Image.Image) -> tuple[int, ...]:
    pixel: tuple[int, ...] = image.getpixel((image.width // 2, image.height // 2))
    return pixel


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_a_colour_profile_is_converted_to_srgb(
    manager: httpx2.AsyncClient, product: dict[str, Any], kind: str
) -> None:
    profile = swapped_profile()

    swapped = await shown(manager, product, encode(Image.new("RGB", SIZE, RED), kind, icc_profile=profile))
    plain = await shown(manager, product, encode(Image.new("RGB", SIZE, RED), kind))

    assert is_near(at_middle(swapped), GREEN)
    assert is_near(at_middle(plain), RED)


async def test_heic_of_a_telephone_is_taken_in_its_colours(
    manager: httpx2.AsyncClient, product: dict[str, Any]
) -> None:
    picture = await shown(manager, product, HEIC)

    assert picture.format == "WEBP"
    assert picture.size == SIZE
    assert is_near(at_middle(picture), GREEN)


async def test_a_profile_and_an_orientation_both_count(manager: httpx2.AsyncClient, product: dict[str, Any]) -> None:
    photo = Image.new("RGB", (60, 40), "blue")
    photo.paste(RED, (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise: what is on the left comes to the top

    picture = await shown(manager, product, encode(photo, "JPEG", exif=exif, icc_profile=swapped_profile(), quality=95))

    assert picture.size == (40, 60)
    assert is_near(picture.getpixel((20, 10)), GREEN)
    assert is_near(picture.getpixel((20, 50)), (0, 0, 255))


async def test_a_broken_profile_is_ignored(manager: httpx2.AsyncClient, product: dict[str, Any]) -> None:
    whole = swapped_profile()
    for profile in (b"x", b"\0" * 4000, whole[:200], whole[:128] + b"\xff" * (len(whole) - 128)):
        picture = await shown(manager, product, encode(Image.new("RGB", SIZE, RED), "JPEG", icc_profile=profile))
        assert is_near(at_middle(picture), RED)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
async def test_a_profile_of_other_pixels_is_ignored(
    manager: httpx2.AsyncClient, product: dict[str, Any], mode: str
) -> None:
    content = encode(Image.new("RGB", SIZE, RED).convert(mode), "JPEG", icc_profile=swapped_profile())
    plain = encode(Image.new("RGB", SIZE, RED).convert(mode), "JPEG")

    with_profile, without = [await shown(manager, product, each) for each in (content, plain)]

    assert at_middle(with_profile) == at_middle(without)
    assert decode(content).mode == mode


async def test_a_cmyk_jpeg_keeps_its_colour(manager: httpx2.AsyncClient, product: dict[str, Any]) -> None:
    picture = await shown(manager, product, encode(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "JPEG"))

    assert is_near(at_middle(picture), RED)


async def test_sixteen_bits_of_grey_keep_their_brightness(manager: httpx2.AsyncClient, product: dict[str, Any]) -> None:
    picture = await shown(manager, product, encode(Image.new("I;16", SIZE, 0x8000), "PNG"))

    assert is_near(at_middle(picture), (128, 128, 128))


async def test_transparency_survives_a_profile(manager: httpx2.AsyncClient, product: dict[str, Any]) -> None:
    half = Image.new("RGBA", SIZE, (*RED, 128))

    picture = await shown(manager, product, encode(half, "PNG", icc_profile=swapped_profile()))

    assert is_near(at_middle(picture), (*GREEN, 128))


async def test_a_palette_with_a_transparent_colour_becomes_transparent(
    manager: httpx2.AsyncClient, product: dict[str, Any]
) -> None:
    palette = Image.new("P", SIZE, 0)
    palette.putpalette([*RED, *GREEN])
    palette.paste(1, (0, 0, 32, 48))
    buffer = BytesIO()
    palette.save(buffer, "PNG", transparency=0, icc_profile=swapped_profile())

    picture = (await shown(manager, product, buffer.getvalue())).convert("RGBA")

    assert picture.getpixel((60, 24))[3] == 0
    assert is_near(picture.getpixel((10, 24)), (*RED, 255))


async def test_grey_with_transparency_becomes_grey_with_transparency(
    manager: httpx2.AsyncClient, product: dict[str, Any]
) -> None:
    picture = await shown(manager, product, encode(Image.new("LA", SIZE, (90, 128)), "PNG"))

    assert is_near(at_middle(picture), (90, 90, 90, 128))
