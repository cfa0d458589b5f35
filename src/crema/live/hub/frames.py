"""Frames as they are sent: encoded once, whoever reads them."""

from functools import cached_property
from typing import Protocol

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode


class Model(Protocol):
    """A frame's schema: any with a `type`, and a `position` where one resumes by it."""

    @property
    def type(self) -> str:
        """What kind of frame it is."""

    def model_dump_json(self) -> str:
        """Return it as JSON."""


class Frame:
    """A frame's JSON, shared by all who are sent it.

    `type` is the schema's; `position` is where its reader resumes, for frames that have one.
    """

    def __init__(self, model: Model) -> None:
        self.type = model.type
        self.position: str | None = getattr(model, "position", None)
        self.text = model.model_dump_json()

    @cached_property
    def wire(self) -> bytes:
        """The frame of RFC 6455: unmasked and uncompressed, so that it is the same for everybody."""
        return WireFrame(Opcode.TEXT, self.text.encode()).serialize(mask=False)
