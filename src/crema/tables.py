"""Imports every table, so that the metadata is complete."""

from crema.accounts import models as accounts
from crema.cart import models as cart
from crema.db import audit, idempotency
from crema.db.base import Base
from crema.events import models as events
from crema.live import models as live
from crema.menu import models as menu
from crema.notifications import models as notifications
from crema.orders import models as orders
from crema.shops import models as shops
from crema.support import models as support

__all__ = [
    "accounts",
    "audit",
    "cart",
    "events",
    "idempotency",
    "live",
    "menu",
    "metadata",
    "notifications",
    "orders",
    "shops",
    "support",
]

metadata = Base.metadata
