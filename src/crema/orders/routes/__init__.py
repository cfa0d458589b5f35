"""Orders and quotes over HTTP, and the capacity of shops for them."""

from crema.orders.routes import capacity, orders, quotes

routers = (quotes.router, orders.router, capacity.router)
