"""Orders live, over WebSocket and as server-sent events: the same frames, two ways to carry them."""

from crema.orders.socket import stream, websocket
from crema.orders.socket.websocket import CHANNELS

routers = (stream.router, websocket.router)

__all__ = ["CHANNELS", "routers"]
