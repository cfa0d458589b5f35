"""Converts an untrusted picture to WebP: a program for `sandbox.py`.

It writes one line of JSON, then the encoded pictures one after another:
`{"width": 1280, "height": 960, "sizes": {"320": 9120, …}}`, bytes by width; or only `{"refused": "…"}`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pi_heif import register_heif_opener
from PIL import (
    AvifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    WebPImagePlugin,  # noqa: F401 - importing it registers WebP
)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")
MAX_SCANS = 60
"""Scans of a progressive JPEG. A scan may be a few bytes long, but decoding it costs a pass over all pixels."""

_QUALITY = 82
_ROTATED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_SCAN = b"\xff\xda"
_MODE_OF_COLOUR_SPACE = {
    "RGB ": "RGB",
    "GRAY": "L",
    "CMYK": "CMYK",
}  # by colour space of an ICC profile


@dataclass(frozen=True)
class Limits:
    """Limits of a picture and of decoding it."""

    pixels: int
    side: int
    widths: Sequence[int]
    memory_bytes: int
    cpu_seconds: int


class RefusedError(Exception):
    """The reason why a file is refused: too_large, animated, broken or too_costly."""


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as WebP files by width. `width` and `height` are those of the largest."""

    width: int
    height: int
    files: Mapping[int, bytes]


def prepare(limits: Mapping[str, Any]) -> None:
    """Load the decoders, with one thread each: threads reserve address space."""
    Image.MAX_IMAGE_PIXELS = limits["pixels"]  # Pillow refuses twice this before it allocates a canvas
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def process(content: bytes, limits: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the header, then the encoded pictures."""
    try:
        encoded = render(content, Limits(**limits))
    except RefusedError as error:
        yield json.dumps({"refused": str(error)}).encode()
        return
    header = {
        "width": encoded.width,
        "height": encoded.height,
        "sizes": {width: len(file) for width, file in encoded.files.items()},
    }
    yield json.dumps(header).encode() + b"\n"
    yield from encoded.files.values()


def render(content: bytes, limits: Limits) -> EncodedPicture:
    """Return a picture in sRGB, upright, in all widths, without metadata and without appended data."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            _check(image, content, limits)
            return _encode(_decode_scaled(image, limits), limits)
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("too_costly") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedError("too_large") from None
    except Exception as error:  # decoders may raise anything on hostile files
        raise RefusedError("broken") from error


def _check(image: Image.Image, content: bytes, limits: Limits) -> None:
    """Refuse pictures that would cost much to decode, reading only the header."""
    width, height = image.size
    if width * height > limits.pixels or max(width, height) > limits.side:
        raise RefusedError("too_large")
    # Telephones put depth maps and bursts beside the picture (MPO, HEIF); the first or primary one is the picture.
    if image.format not in ("MPO", "HEIF") and getattr(image, "n_frames", 1) > 1:
        raise RefusedError("animated")
    if image.format in ("JPEG", "MPO") and content.count(_SCAN) > MAX_SCANS:
        raise RefusedError("broken")


def _decode_scaled(image: Image.Image, limits: Limits) -> Image.Image:
    """Return the decoded picture in the largest stored width, in sRGB and upright."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    shown_width = image.height if orientation in _ROTATED else image.width
    scale = min(1.0, limits.widths[-1] / shown_width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image.draft("RGB", size)  # a JPEG decodes to about this size right away
    image.load()  # HEIF knows its true size only now
    if image.width * image.height > limits.pixels:
        raise RefusedError("too_large")
    profile = image.info.get("icc_profile")
    small = _to_plain_mode(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    upright = _to_srgb(small, profile)
    upright.info.clear()
    upright.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(upright)


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """Return the picture in an eight-bit mode that can be scaled and fits its profile: L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.point(lambda value: value / 256).convert("L")
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if image.mode == "CMYK":
        return image
    is_grey = image.mode in ("1", "L", "LA", "La") and not (has_alpha and image.mode in ("1", "L"))
    mode = ("L" if is_grey else "RGB") + ("A" if has_alpha else "")
    return image if image.mode == mode else image.convert(mode)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture as RGB or RGBA in sRGB. A broken profile, or one for another mode, is ignored."""
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    colours = image.convert(image.mode.removesuffix("A")) if alpha else image
    converted = (_apply_profile(colours, profile) if profile else None) or colours.convert("RGB")
    if alpha:
        converted.putalpha(alpha)
    return converted


def _apply_profile(image: Image.Image, content: bytes) -> Image.Image | None:
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        if _MODE_OF_COLOUR_SPACE.get(profile.profile.xcolor_space) != image.mode:
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _encode(image: Image.Image, limits: Limits) -> EncodedPicture:
    files = {}
    for width in sorted({min(image.width, limit) for limit in limits.widths}):
        height = max(1, round(image.height * width / image.width))
        resized = image.resize((width, height), Image.Resampling.LANCZOS) if width < image.width else image
        encoded = BytesIO()
        resized.save(encoded, "WEBP", quality=_QUALITY, method=4, exif=b"", xmp=b"", icc_profile=b"")
        files[width] = encoded.getvalue()
    return EncodedPicture(image.width, image.height, files)
