"""Frames that all sockets have in common, and tickets."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from crema.schemas import Input, Output

MAX_NAME: Final = 100
"""Longer ids of frames aren't repeated in `error` frames."""


class TicketOut(Output):
    """A ticket for one connection."""

    ticket: str
    expires_in: int = Field(description="Seconds for which the ticket is valid.", examples=[30])


class AuthFrame(Input):
    """The first frame of a client without an Authorization header: an access token or a ticket of POST /chat/ticket."""

    type: Literal["auth"]
    token: Annotated[str, Field(max_length=4_000)] | None = None
    ticket: Annotated[str, Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _check_one_credential(self) -> "AuthFrame":
        if (self.token is None) == (self.ticket is None):
            raise ValueError("send a token or a ticket")
        return self


class PingFrame(Input):
    """The server replies with `pong`. For browsers, which can't send pings of the WebSocket protocol."""

    type: Literal["ping"]


class PongFrame(Output):
    """The reply to `ping`."""

    type: Literal["pong"] = "pong"


class ErrorFrame(Output):
    """Your frame was refused. `code` is one of the error codes of the HTTP API. The socket stays open.

    After `rate_limited` send the frame again a second later. After any other code it would be refused again.
    """

    type: Literal["error"] = "error"
    code: str = Field(examples=["rate_limited"])
    detail: str
    client_id: str | None = Field(None, description="The message that was refused, if it was one.")
    conversation_id: str | None = Field(None, description="On `/chats/live`: the conversation that your frame named.")
