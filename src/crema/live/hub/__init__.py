"""The connections of this process, and the feeds that send them what is new, read and encoded once for all."""

from crema.live.hub.connections import CHECK_SECONDS, CONNECTIONS, DATABASE_ERRORS, SEND_SECONDS, Hub
from crema.live.hub.feeds import POLL_SECONDS, Feed
from crema.live.hub.frames import Batch, Frame, Model
from crema.live.hub.subscriptions import Subscription

__all__ = [
    "CHECK_SECONDS",
    "CONNECTIONS",
    "DATABASE_ERRORS",
    "POLL_SECONDS",
    "SEND_SECONDS",
    "Batch",
    "Feed",
    "Frame",
    "Hub",
    "Model",
    "Subscription",
]
