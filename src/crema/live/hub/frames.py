"""Encoded frames, which are shared by all connections that they are sent to."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, Protocol

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

MAX_WRITE: Final = 64 * 1024
"""Bytes of frames passed to a transport at once: about what it buffers."""


class Model(Protocol):
    """The schema of a frame: it has a `type`, and a `position` if clients resume by it."""

    @property
    def type(self) -> str:
        """The type of the frame."""

    def model_dump_json(self) -> str:
        """Return the JSON of the frame."""


class Frame:
    """An encoded frame, shared by all connections that it is sent to.

    `type` is that of the schema; `position` is where a client resumes, for frames that have one. `wire` is the frame
    of RFC 6455, unmasked and uncompressed, so that it is the same for all connections.
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
        """The JSON of the frame."""
        return self.wire[self._payload_at :].decode()


class Batch:
    """Frames that are sent together, shared by all connections that get the same."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames

    @cached_property
    def writes(self) -> Sequence[bytes]:
        """The encoded frames joined to few writes, none much over MAX_WRITE, so that slow clients buffer little."""
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
