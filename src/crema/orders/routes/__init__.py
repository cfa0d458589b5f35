"""Orders over HTTP, and the capacity of shops for them."""

from crema.orders.routes import capacity, orders

routers = (orders.router, capacity.router)
