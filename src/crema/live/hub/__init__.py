"""Who is connected to this process, and how they are told what is new: once read and once encoded for all."""

from crema.live.hub.connections import CHECK_SECONDS, CONNECTIONS, GONE, SEND_SECONDS, Hub
from crema.live.hub.feeds import POLL_SECONDS, Feed
from crema.live.hub.frames import Batch, Frame, Model
from crema.live.hub.subscriptions import Subscription

__all__ = [
    "CHECK_SECONDS",
    "CONNECTIONS",
    "GONE",
    "POLL_SECONDS",
    "SEND_SECONDS",
    "Batch",
    "Feed",
    "Frame",
    "Hub",
    "Model",
    "Subscription",
]
