"""The menu over HTTP."""

from crema.menu.routes import categories, images, ingredients, menu, modifier_groups, products

routers = (
    products.reads,
    products.router,
    menu.reads,
    menu.forms,
    menu.router,
    categories.reads,
    categories.router,
    images.router,
    modifier_groups.router,
    ingredients.router,
)
