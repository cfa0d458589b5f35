"""The menu over HTTP."""

from crema.menu.routes import categories, images, ingredients, modifier_groups, products

routers = (products.router, categories.router, images.router, modifier_groups.router, ingredients.router)
