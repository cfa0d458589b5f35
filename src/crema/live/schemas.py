"""JSON that all sockets speak."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from crema.schemas import Input, Output

MAX_NAME: Final = 100
"""Longer names of frames aren't repeated in errors."""


class TicketOut(Output):
    """Good for one connection."""

    ticket: str
    expires_in: int = Field(description="Seconds.", examples=[30])


class AuthFrame(Input):
    """The first frame of who sends no Authorization header: an access token, or a ticket of POST /chat/ticket."""

    type: Literal["auth"]
    token: Annotated[str, Field(max_length=4_000)] | None = None
    ticket: Annotated[str, Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "AuthFrame":
        if (self.token is None) == (self.ticket is None):
            raise ValueError("send a token or a ticket")
        return self


class PingFrame(Input):
    """Answered by `pong`, for browsers, which can't send a protocol ping."""

    type: Literal["ping"]


class PongFrame(Output):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"


class ErrorFrame(Output):
    """A frame of yours was refused; `code` is that of the HTTP API's problems. The socket stays open.

    After `rate_limited` send the frame again a second later. After any other code it would be refused again: drop it.
    """

    type: Literal["error"] = "error"
    code: str = Field(examples=["rate_limited"])
    detail: str
    client_id: str | None = Field(None, description="Which message of yours it is about, if it is about one.")
    conversation_id: str | None = Field(None, description="The conversation your frame named, on `/chats/live`.")
