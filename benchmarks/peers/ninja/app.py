"""What a café's developer would write after the tutorials: django-ninja, in one file."""

import os
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import django
from django.conf import settings

url = urlsplit(os.environ["DATABASE_URL"])
host = parse_qs(url.query).get("host", [url.hostname])[0]
settings.configure(
    SECRET_KEY="a benchmark",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cafe", "ninja"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.lstrip("/"),
            "USER": url.username,
            "PASSWORD": url.password or "",
            "HOST": host,
            "PORT": str(url.port or ""),
            "CONN_MAX_AGE": 60,  # persistent connections, as Django's page on databases advises
        }
    },
)
django.setup()

from cafe.models import Ingredient, ModifierGroup, Product  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db.models import Prefetch  # noqa: E402
from django.urls import path  # noqa: E402
from ninja import Field, FilterSchema, NinjaAPI, Query, Schema  # noqa: E402
from ninja.pagination import PageNumberPagination, paginate  # noqa: E402


class CategoryOut(Schema):
    id: UUID
    slug: str
    name: str


class IngredientOut(Schema):
    id: UUID
    name: str


class OptionOut(Schema):
    id: UUID
    name: str
    price_delta: Decimal
    max_quantity: int
    is_default: bool
    is_active: bool
    allergens: list[str]
    ingredients: list[IngredientOut]


class GroupOut(Schema):
    id: UUID
    name: str
    min_choices: int
    max_choices: int
    free_quantity: int
    options: list[OptionOut]


class SizeOut(Schema):
    id: UUID
    name: str
    volume_ml: int | None
    price_delta: Decimal
    is_default: bool


class ImageOut(Schema):
    id: UUID
    alt: str
    position: int
    width: int
    height: int
    urls: dict[str, str]


class ProductOut(Schema):
    id: UUID
    slug: str
    name: str
    description: str
    price: Decimal
    is_active: bool
    position: int
    categories: list[CategoryOut]
    sizes: list[SizeOut]
    modifier_groups: list[GroupOut]
    images: list[ImageOut]
    allergens: list[str]
    nutrition: dict[str, Any] | None
    ingredients: list[IngredientOut]
    preparation_seconds: int


class ProductFilter(FilterSchema):
    category_id: Annotated[UUID | None, Field(q="categories__id")] = None
    price__lte: Annotated[Decimal | None, Field(q="price__lte")] = None
    search: Annotated[str | None, Field(q=["name__icontains", "description__icontains"])] = None


def whole():
    groups = ModifierGroup.objects.order_by("productmodifiergroup__position").prefetch_related("options__ingredients")
    return (
        Product.objects.filter(archived_at=None, is_active=True)
        .order_by("position", "id")
        .prefetch_related(
            "categories",
            "sizes",
            "images",
            Prefetch("ingredients", Ingredient.objects.order_by("productingredient__position")),
            Prefetch("modifier_groups", groups),
        )
    )


api = NinjaAPI()


@api.get("/products", response=list[ProductOut])
@paginate(PageNumberPagination, page_size=20)
def list_products(request, filters: Query[ProductFilter], sort: str = "position"):
    return filters.filter(whole()).order_by(sort, "id")


@api.get("/product/{product_id}", response=ProductOut)
def get_product(request, product_id: UUID):
    return whole().get(id=product_id)


urlpatterns = [path("", api.urls)]
application = get_wsgi_application()
