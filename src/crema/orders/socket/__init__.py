"""The live feed of orders, as a WebSocket and as server-sent events. Both send the same frames."""

from crema.orders.socket import stream, websocket
from crema.orders.socket.websocket import CHANNELS

routers = (stream.router, websocket.router)

__all__ = ["CHANNELS", "routers"]
