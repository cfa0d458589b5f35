"""uvicorn's protocols, with a limit on the size of headers, and with frames that are encoded once."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

FRAMES: Final = "crema.frames"
"""The ASGI extension for sending frames that are encoded already."""
MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line and headers after which the connection is closed. `web.limits` has lower limits, and answers
with a problem document."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request line and headers don't end."""

    is_in_head = False
    head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse the data, and count the bytes of headers that aren't complete."""
        super().data_received(data)
        if not self.is_in_head:
            return
        self.head_bytes += len(data)
        if self.head_bytes > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request headers are too large.")

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        super().on_message_begin()
        self.is_in_head, self.head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Note that its headers are complete."""
        self.is_in_head = False
        super().on_headers_complete()


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, which also send encoded frames: the key `frames` of a `websocket.send` message.

    A server's frame has the same bytes for all clients: it isn't masked, nor compressed while `ws_per_message_deflate`
    is off. `FRAMES` in the extensions of a scope says that the key is supported.
    """

    async def run_asgi(self) -> None:
        """Tell the application that it may send frames, then run it."""
        self.scope["extensions"][FRAMES] = {}
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send a message of ASGI, or frames that are encoded."""
        frames = message.get("frames")
        if frames is None:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected
        if not self.close_sent:
            self.transport.write(frames)
