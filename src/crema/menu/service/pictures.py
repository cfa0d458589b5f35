"""Making safe pictures of what people upload: whatever came in, only pixels that we encoded anew go out.

Decoding runs in a thread of its own: off the event loop, and with one picture in memory at a time (a quarter of a GiB
for the worst we take). A thread can't be killed after a time limit as a process could; instead what costs time and
memory is limited beforehand: bytes, pixels, frames, scans.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from crema.core.errors import InvalidError, UnsupportedTypeError
from crema.menu import domain

MAX_PIXELS: Final = 16_000_000
MAX_SIDE: Final = 8000
MAX_SCANS: Final = 60
FORMATS: Final = ("JPEG", "PNG", "WEBP")

_QUALITY: Final = 82
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_ORIENTATION: Final = 0x0112
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
_SCAN: Final = b"\xff\xda"
_DECODER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="picture")

# Pillow refuses twice this on its own before it allocates a canvas, which for WebP happens while opening.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class UnsupportedImageError(UnsupportedTypeError):
    """Not a JPEG, PNG or WebP picture, whatever its name says."""

    code = "unsupported_image"
    title = "Send a JPEG, PNG or WebP picture."


class ImageTooLargeError(InvalidError):
    """Its header promises more pixels than we decode."""

    code = "image_too_large"
    title = f"A picture has at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE} pixels a side."


class ImageAnimatedError(InvalidError):
    """It has several frames."""

    code = "image_animated"
    title = "A picture stands still."


class ImageBrokenError(InvalidError):
    """It can't be decoded to the end."""

    code = "image_broken"
    title = "This picture is damaged."


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture, encoded in several widths; `width` and `height` are those of the largest."""

    width: int
    height: int
    files: Mapping[int, bytes]


async def render(content: bytes) -> Rendition:
    """Decode, turn upright, and encode as WebP in the menu's widths. No metadata survives, nor anything appended."""
    return await asyncio.get_running_loop().run_in_executor(_DECODER, _render, content)


def _render(content: bytes) -> Rendition:
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            _check(image, content)
            return _encode(_largest(image))
    except InvalidError:
        raise
    except UnidentifiedImageError:
        if content.startswith(_MAGIC[:2]) or (content.startswith(_MAGIC[2]) and content[8:12] == b"WEBP"):
            raise ImageBrokenError from None
        raise UnsupportedImageError from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLargeError from None
    except Exception as error:  # decoders fail in any way on hostile bytes, and none of them is our defect
        raise ImageBrokenError from error


def _check(image: Image.Image, content: bytes) -> None:
    """Refuse, by the header alone, what would cost much to decode."""
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageTooLargeError
    # Phones append depth maps and the like to a JPEG (MPO); its first frame is the picture.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise ImageAnimatedError
    # Each scan of a progressive JPEG costs a pass over all pixels and may be a few bytes long.
    if image.format in ("JPEG", "MPO") and content.count(_SCAN) > MAX_SCANS:
        raise ImageBrokenError


def _largest(image: Image.Image) -> Image.Image:
    """Decode at the largest width we keep, upright."""
    sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    shown_width = image.height if sideways else image.width
    scale = min(1.0, domain.IMAGE_WIDTHS[-1] / shown_width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image.draft("RGB", size)  # a JPEG decodes to about this size right away
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.point(lambda value: value / 256).convert("L")
    mode = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
    whole = image if image.mode == mode else image.convert(mode)
    small = whole.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    small.info.clear()
    small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return ImageOps.exif_transpose(small)


def _encode(image: Image.Image) -> Rendition:
    files = {}
    for width in domain.widths_for(image.width):
        height = max(1, round(image.height * width / image.width))
        resized = image.resize((width, height), Image.Resampling.LANCZOS) if width < image.width else image
        encoded = BytesIO()
        resized.save(encoded, "WEBP", quality=_QUALITY, method=4, exif=b"", xmp=b"", icc_profile=b"")
        files[width] = encoded.getvalue()
    return Rendition(width=image.width, height=image.height, files=files)
