"""The menu over HTTP."""

from crema.menu.routes import categories, images, ingredients, modifier_groups, products

routers = (categories.router, products.router, images.router, modifier_groups.router, ingredients.router)
