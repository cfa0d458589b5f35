"""uvicorn's protocols, with what they lack: a bound on what comes before a body, and frames encoded once."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

FRAMES: Final = "crema.frames"
"""The extension of ASGI by which frames are sent that are encoded already."""
MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line and headers that are read before they are complete. `web.limits` refuses smaller ones, with a
problem document; here the connection is closed."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose request line and headers don't come to an end."""

    is_in_head = False
    head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse, then count what belongs to headers that are not complete yet."""
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
    """uvicorn's WebSockets, which also send frames as they go over the wire: those of `websocket.send`'s key `frames`.

    A frame of a server is the same bytes for all its readers: nothing is masked, and nothing is compressed as long as
    `ws_per_message_deflate` is off. `FRAMES` among a scope's extensions says that the key is understood.
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
