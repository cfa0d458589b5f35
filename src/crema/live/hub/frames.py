"""Frames as they are sent: encoded once, whoever reads them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, Protocol

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

MAX_WRITE: Final = 64 * 1024
"""Bytes of frames that are handed to a transport at once, about what it buffers."""


class Model(Protocol):
    """A frame's schema: any with a `type`, and a `position` where one resumes by it."""

    @property
    def type(self) -> str:
        """What kind of frame it is."""

    def model_dump_json(self) -> str:
        """Return it as JSON."""


class Frame:
    """A frame's bytes, shared by all who are sent it.

    `type` is the schema's; `position` is where its reader resumes, for frames that have one. `wire` is the frame of
    RFC 6455: unmasked and uncompressed, so that it is the same for everybody.
    """

    __slots__ = ("_payload_at", "position", "type", "wire")

    def __init__(self, model: Model) -> None:
        self.type = model.type
        self.position: str | None = getattr(model, "position", None)
        payload = model.model_dump_json().encode()
        self.wire = WireFrame(Opcode.TEXT, payload).serialize(mask=False)
        self._payload_at = len(self.wire) - len(payload)

    @property
    def text(self) -> str:
        """The frame's JSON."""
        return self.wire[self._payload_at :].decode()


class Batch:
    """Frames that are sent together, shared by all who are sent the same."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames

    @cached_property
    def writes(self) -> Sequence[bytes]:
        """The frames on the wire, joined to few writes, none much over MAX_WRITE: who takes nothing holds little."""
        return [*self._writes()]

    def _writes(self) -> Iterator[bytes]:
        write, size = [], 0
        for frame in self.frames:
            write.append(frame.wire)
            size += len(frame.wire)
            if size >= MAX_WRITE:
                yield b"".join(write)
                write, size = [], 0
        if write:
            yield b"".join(write)
