"""Makes a safe WebP picture of an untrusted file: a program for `confined.py`.

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
"""Of a progressive JPEG. Each costs a pass over all pixels and may be a few bytes long."""

_QUALITY = 82
_SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_SCAN = b"\xff\xda"
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # colour spaces of ICC profiles, and the modes they describe


@dataclass(frozen=True)
class Limits:
    """What a picture may cost."""

    pixels: int
    side: int
    widths: Sequence[int]
    memory_bytes: int
    cpu_seconds: int


class RefusedError(Exception):
    """Why a file is not taken: too_large, animated, broken or too_costly."""


@dataclass(frozen=True)
class Encoded:
    """A picture as WebP, by width; `width` and `height` are those of the largest."""

    width: int
    height: int
    files: Mapping[int, bytes]


def prepare(limits: Mapping[str, Any]) -> None:
    """Load the decoders, with one thread each: threads reserve address space."""
    Image.MAX_IMAGE_PIXELS = limits["pixels"]  # Pillow refuses twice this before it allocates a canvas
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def process(content: bytes, limits: Mapping[str, Any]) -> Iterator[bytes]:
    """Give the header, then the pictures."""
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


def render(content: bytes, limits: Limits) -> Encoded:
    """Decode, convert to sRGB, turn upright and encode in our widths. No metadata survives, nor anything appended."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            _check(image, content, limits)
            return _encode(_shrunk(image, limits), limits)
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("too_costly") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedError("too_large") from None
    except Exception as error:  # decoders fail in any way on hostile bytes
        raise RefusedError("broken") from error


def _check(image: Image.Image, content: bytes, limits: Limits) -> None:
    """Refuse, by the header alone, what would cost much to decode."""
    width, height = image.size
    if width * height > limits.pixels or max(width, height) > limits.side:
        raise RefusedError("too_large")
    # Telephones put depth maps and bursts beside the picture (MPO, HEIF); the first or primary one is the picture.
    if image.format not in ("MPO", "HEIF") and getattr(image, "n_frames", 1) > 1:
        raise RefusedError("animated")
    if image.format in ("JPEG", "MPO") and content.count(_SCAN) > MAX_SCANS:
        raise RefusedError("broken")


def _shrunk(image: Image.Image, limits: Limits) -> Image.Image:
    """Decode at the largest width we keep, in sRGB, upright."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    shown_width = image.height if orientation in _SIDEWAYS else image.width
    scale = min(1.0, limits.widths[-1] / shown_width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image.draft("RGB", size)  # a JPEG decodes to about this size right away
    image.load()  # HEIF tells its true size now
    if image.width * image.height > limits.pixels:
        raise RefusedError("too_large")
    profile = image.info.get("icc_profile")
    small = _plain_mode(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    upright = _in_srgb(small, profile)
    upright.info.clear()
    upright.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(upright)


def _plain_mode(image: Image.Image) -> Image.Image:
    """Give pixels of eight bits that can be scaled: L, LA, RGB, RGBA or CMYK, which keep what their profile means."""
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.point(lambda value: value / 256).convert("L")
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if image.mode == "CMYK":
        return image
    is_grey = image.mode in ("1", "L", "LA", "La") and not (has_alpha and image.mode in ("1", "L"))
    mode = ("L" if is_grey else "RGB") + ("A" if has_alpha else "")
    return image if image.mode == mode else image.convert(mode)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to RGB or RGBA in sRGB. A profile that is broken or of other pixels than these is ignored."""
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    colours = image.convert(image.mode.removesuffix("A")) if alpha else image
    converted = (_converted(colours, profile) if profile else None) or colours.convert("RGB")
    if alpha:
        converted.putalpha(alpha)
    return converted


def _converted(image: Image.Image, content: bytes) -> Image.Image | None:
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        if _SPACES.get(profile.profile.xcolor_space) != image.mode:
            return None
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _encode(image: Image.Image, limits: Limits) -> Encoded:
    files = {}
    for width in sorted({min(image.width, ours) for ours in limits.widths}):
        height = max(1, round(image.height * width / image.width))
        resized = image.resize((width, height), Image.Resampling.LANCZOS) if width < image.width else image
        encoded = BytesIO()
        resized.save(encoded, "WEBP", quality=_QUALITY, method=4, exif=b"", xmp=b"", icc_profile=b"")
        files[width] = encoded.getvalue()
    return Encoded(image.width, image.height, files)
