"""Routes of the menu."""

from crema.menu.routes import categories, images, ingredients, menu, modifier_groups, offers, products

routers = (
    products.router,
    menu.forms,
    menu.router,
    categories.router,
    images.router,
    modifier_groups.router,
    ingredients.router,
    offers.router,
)
