"""Making safe pictures of what people upload: whatever came in, only pixels that we encoded anew go out.

Each picture is decoded by `decoder.py` in a process of its own: see `processes`.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

from crema.core.errors import CremaError, InvalidError, UnsupportedTypeError
from crema.media.domain import IMAGE_WIDTHS, MAX_PIXELS, MAX_SIDE
from crema.media.service import processes
from crema.media.service.turns import Turns

DECODERS: Final = 2
"""Pictures decoded at once by a server process."""
LIMITS: Final[Mapping[str, Any]] = {
    "pixels": MAX_PIXELS,
    "side": MAX_SIDE,
    "widths": IMAGE_WIDTHS,
    "memory_bytes": 512 * 1024**2,  # beyond what it needs to start; the worst picture that is taken needs half of it
    "cpu_seconds": 5,
}
"""What one picture may cost: `decoder.Limits`."""
WALL_SECONDS: Final = 20
"""For a machine so busy that five seconds of CPU time take longer."""

_DECODER: Final = Path(__file__).with_name("decoder.py")
_BRANDS: Final = frozenset({b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"avis"})


class UnsupportedImageError(UnsupportedTypeError):
    """Not a JPEG, PNG, WebP, AVIF or HEIC picture, whatever its name says."""

    code = "unsupported_image"
    title = "This file is not a picture of a supported format."
    advice = "Send a JPEG, PNG, WebP, AVIF or HEIC picture."


class ImageTooLargeError(InvalidError):
    """Its header promises more pixels than we decode."""

    code = "image_too_large"
    title = "This picture is too large."
    advice = f"Send at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE} pixels a side."


class ImageAnimatedError(InvalidError):
    """It has several frames."""

    code = "image_animated"
    title = "Animated images are not supported."
    advice = "Send a picture with one frame."


class ImageBrokenError(InvalidError):
    """It can't be decoded to the end."""

    code = "image_broken"
    title = "This picture is damaged."
    advice = "Save it again, and send that file."


class ImageTooCostlyError(InvalidError):
    """Decoding it takes more than five seconds or half a gigabyte."""

    code = "image_too_costly"
    title = "Decoding this picture takes too much time or memory."
    advice = "Save it again, smaller or in another format, and send that file."


_REFUSALS: Final[Mapping[str, type[CremaError]]] = {
    "too_large": ImageTooLargeError,
    "animated": ImageAnimatedError,
    "broken": ImageBrokenError,
    "too_costly": ImageTooCostlyError,
}


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture, encoded in several widths; `width` and `height` are those of the largest."""

    width: int
    height: int
    files: Mapping[int, bytes]


class Renderer:
    """Decodes pictures of many people in fair turns."""

    def __init__(self, limits: Mapping[str, Any] = LIMITS) -> None:
        self._limits = limits
        self._turns = Turns(DECODERS)

    def turn(self, person_id: UUID) -> AbstractAsyncContextManager[None]:
        """Wait for this person's turn to `render`, and hold it; look then whether there still is room."""
        return self._turns.turn(person_id)

    async def render(self, file: BinaryIO) -> Rendition:
        """Decode an open file of the operating system's; raise one of the errors above."""
        if not is_picture(await asyncio.to_thread(_head, file)):
            raise UnsupportedImageError
        output = await processes.run(
            _DECODER,
            file,
            library="PIL",
            limits=self._limits,
            wall_seconds=WALL_SECONDS,
            costly=ImageTooCostlyError,
            broken=ImageBrokenError,
        )
        return _parsed(output)


def is_picture(head: bytes) -> bool:
    """Whether a file begins as those do that we try to decode."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
    )


def _head(file: BinaryIO) -> bytes:
    file.flush()
    file.seek(0)
    return file.read(12)


def _parsed(output: bytes) -> Rendition:
    first, _, content = output.partition(b"\n")
    header = json.loads(first)
    if "refused" in header:
        raise _REFUSALS[header["refused"]]
    files, start = {}, 0
    for width, size in header["sizes"].items():
        files[int(width)] = content[start : start + size]
        start += size
    return Rendition(header["width"], header["height"], files)
