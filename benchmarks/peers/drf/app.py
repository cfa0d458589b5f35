"""What a café's developer would write after the tutorials: Django REST framework with django-filter, in one file."""

import os
from urllib.parse import parse_qs, urlsplit

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
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cafe", "rest_framework", "django_filters"],
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
    REST_FRAMEWORK={
        "DEFAULT_FILTER_BACKENDS": [
            "django_filters.rest_framework.DjangoFilterBackend",
            "rest_framework.filters.SearchFilter",
        ],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PAGINATION_CLASS": "pages.Pages",
        "PAGE_SIZE": 20,
    },
)
django.setup()

from cafe.models import Category, Ingredient, ModifierGroup, Option, Product, ProductImage, Size  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db.models import Prefetch  # noqa: E402
from django.urls import path  # noqa: E402
from django_filters import rest_framework as filters  # noqa: E402
from rest_framework import generics, serializers  # noqa: E402


class CategorySerializer(serializers.ModelSerializer):
    class Meta:
        model = Category
        fields = ["id", "slug", "name"]


class IngredientSerializer(serializers.ModelSerializer):
    class Meta:
        model = Ingredient
        fields = ["id", "name"]


class OptionSerializer(serializers.ModelSerializer):
    ingredients = IngredientSerializer(many=True)

    class Meta:
        model = Option
        fields = [
            "id",
            "name",
            "price_delta",
            "max_quantity",
            "is_default",
            "is_active",
            "allergens",
            "ingredients",
        ]


class GroupSerializer(serializers.ModelSerializer):
    options = OptionSerializer(many=True)

    class Meta:
        model = ModifierGroup
        fields = ["id", "name", "min_choices", "max_choices", "free_quantity", "options"]


class SizeSerializer(serializers.ModelSerializer):
    class Meta:
        model = Size
        fields = ["id", "name", "volume_ml", "price_delta", "is_default"]


class ImageSerializer(serializers.ModelSerializer):
    urls = serializers.ReadOnlyField()

    class Meta:
        model = ProductImage
        fields = ["id", "alt", "position", "width", "height", "urls"]


class ProductSerializer(serializers.ModelSerializer):
    categories = CategorySerializer(many=True)
    sizes = SizeSerializer(many=True)
    modifier_groups = GroupSerializer(many=True)
    images = ImageSerializer(many=True)
    ingredients = IngredientSerializer(many=True)

    class Meta:
        model = Product
        fields = [
            "id",
            "slug",
            "name",
            "description",
            "price",
            "is_active",
            "position",
            "categories",
            "sizes",
            "modifier_groups",
            "images",
            "allergens",
            "nutrition",
            "ingredients",
            "preparation_seconds",
        ]


class ProductFilter(filters.FilterSet):
    category_id = filters.UUIDFilter(field_name="categories__id")
    price__lte = filters.NumberFilter(field_name="price", lookup_expr="lte")
    sort = filters.OrderingFilter(fields=["price", "position", "name"])

    class Meta:
        model = Product
        fields = []

    def filter_queryset(self, queryset):
        queryset = super().filter_queryset(queryset)
        return queryset.order_by(*queryset.query.order_by, "id")


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


class ProductList(generics.ListAPIView):
    serializer_class = ProductSerializer
    filterset_class = ProductFilter
    search_fields = ["name", "description"]

    def get_queryset(self):
        return whole()


class ProductDetail(generics.RetrieveAPIView):
    serializer_class = ProductSerializer

    def get_queryset(self):
        return whole()


urlpatterns = [path("products", ProductList.as_view()), path("product/<uuid:pk>", ProductDetail.as_view())]
application = get_wsgi_application()
