"""uvicorn's HTTP protocol, with a bound on what comes before a body: it has none of its own."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
