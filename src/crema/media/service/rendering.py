"""Converting uploaded pictures to WebP. Only pixels that the server has encoded again are ever sent to others.

`decoder.py` decodes each picture in a process of its own: see `processes`.
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
from crema.media.service.fair_semaphore import FairSemaphore

DECODERS: Final = 2
"""Pictures that a server process decodes at once."""
LIMITS: Final[Mapping[str, Any]] = {
    "pixels": MAX_PIXELS,
    "side": MAX_SIDE,
    "widths": IMAGE_WIDTHS,
    "memory_bytes": 512
    * 1024**2,  # on top of what it needs to start; the most costly accepted picture needs half of it
    "cpu_seconds": 5,
}
"""Limits of one picture: `decoder.Limits`."""
WALL_SECONDS: Final = 20
"""Seconds that decoding may take, also on a busy machine: five seconds of CPU time may take longer."""

_DECODER: Final = Path(__file__).with_name("decoder.py")
_ISO_MEDIA_BRANDS: Final = frozenset({b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"avis"})


class UnsupportedImageError(UnsupportedTypeError):
    """The file is not a JPEG, PNG, WebP, AVIF or HEIC picture, whatever its name says."""

    code = "unsupported_image"
    title = "This file is not a picture of a supported format."
    advice = "Send a JPEG, PNG, WebP, AVIF or HEIC picture."


class ImageTooLargeError(InvalidError):
    """The picture has too many pixels."""

    code = "image_too_large"
    title = "This picture is too large."
    advice = f"Send at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE} pixels a side."


class ImageAnimatedError(InvalidError):
    """The picture has several frames."""

    code = "image_animated"
    title = "Animated images are not supported."
    advice = "Send a picture with one frame."


class ImageBrokenError(InvalidError):
    """The picture can't be decoded to the end."""

    code = "image_broken"
    title = "This picture is damaged."
    advice = "Save it again, and send that file."


class ImageTooCostlyError(InvalidError):
    """Decoding the picture takes more than five seconds or half a gigabyte."""

    code = "image_too_costly"
    title = "Decoding this picture takes too much time or memory."
    advice = "Save it again, smaller or in another format, and send that file."


_ERRORS: Final[Mapping[str, type[CremaError]]] = {
    "too_large": ImageTooLargeError,
    "animated": ImageAnimatedError,
    "broken": ImageBrokenError,
    "too_costly": ImageTooCostlyError,
}


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture, encoded in several widths. `width` and `height` are those of the largest."""

    width: int
    height: int
    files: Mapping[int, bytes]


class Renderer:
    """Decodes pictures, a few at once, with fair waiting for all people."""

    def __init__(self, limits: Mapping[str, Any] = LIMITS) -> None:
        self._limits = limits
        self._semaphore = FairSemaphore(DECODERS)

    def slot(self, person_id: UUID) -> AbstractAsyncContextManager[None]:
        """Return a context that waits for a free slot and holds it. Check limits inside it, then call `render`."""
        return self._semaphore.slot(person_id)

    async def render(self, file: BinaryIO) -> Rendition:
        """Return the encoded picture of an open file with a file descriptor; raise one of the errors above."""
        if not is_picture(await asyncio.to_thread(_read_head, file)):
            raise UnsupportedImageError
        output = await processes.run(
            _DECODER,
            file,
            library="PIL",
            limits=self._limits,
            wall_seconds=WALL_SECONDS,
            costly_error=ImageTooCostlyError,
            broken_error=ImageBrokenError,
        )
        return _parse_output(output)


def is_picture(head: bytes) -> bool:
    """Return whether a file begins like a picture of a supported format."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _ISO_MEDIA_BRANDS)
    )


def _read_head(file: BinaryIO) -> bytes:
    file.flush()
    file.seek(0)
    return file.read(12)


def _parse_output(output: bytes) -> Rendition:
    first, _, content = output.partition(b"\n")
    header = json.loads(first)
    if "refused" in header:
        raise _ERRORS[header["refused"]]
    files, start = {}, 0
    for width, size in header["sizes"].items():
        files[int(width)] = content[start : start + size]
        start += size
    return Rendition(header["width"], header["height"], files)
