"""Statements about products, their stored documents and their pictures."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache, partial
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, selectinload

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db import versions
from crema.db.base import case_folded
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    Field,
    InstantField,
    IntegerField,
    LinkField,
    Listing,
    ListQuery,
    ListStatement,
    Many,
    MembersField,
    MoneyField,
    One,
    SlugField,
    TextField,
    UuidField,
)
from crema.db.statement import Statement
from crema.menu.domain import ALLERGENS
from crema.menu.models import (
    Category,
    Ingredient,
    MenuVersion,
    ModifierGroup,
    Option,
    OptionIngredient,
    Product,
    ProductCategory,
    ProductDocument,
    ProductImage,
    ProductIngredient,
    ProductModifierGroup,
    ShopProduct,
    Size,
)
from crema.menu.queries.modifier_groups import options_field
from crema.menu.queries.shared_fields import (
    SCHEDULE_LEFT_OUT,
    SHOP_ID,
    URLS_LEFT_OUT,
    availability_left_out,
    nutrition_fields,
)
from crema.schemas import Name

_LAST: Final = 2**31 - 1


def _is_in_category(match: ColumnElement[bool], *, sees_hidden: bool) -> ColumnElement[bool]:
    """Return the condition that a product is in a category that matches, or in a category under one."""
    # Without `shown` the public could ask what a hidden category contains.
    shown = true() if sees_hidden else Category.is_on_menu
    subtree = select(Category.id).where(match, shown).cte(recursive=True)
    subtree = subtree.union(select(Category.id).join(subtree, Category.parent_id == subtree.c.id).where(shown))
    return (
        select(ProductCategory.product_id)
        .where(ProductCategory.product_id == Product.id, ProductCategory.category_id.in_(select(subtree.c.id)))
        .exists()
    )


def _position_in_category() -> ColumnElement[int]:
    """Return the position of a product in the category of the parameter `category_id`."""
    position = select(ProductCategory.position).where(
        ProductCategory.product_id == Product.id, ProductCategory.category_id == bindparam("category_id", type_=Uuid)
    )
    return func.coalesce(position.scalar_subquery(), _LAST)


_LINK: Final = aliased(ProductCategory)
_CATEGORY: Final = aliased(Category)
_IS_ON_MENU: Final = and_(
    Product.is_active,
    or_(
        not_(exists().where(_LINK.product_id == Product.id)),
        exists().where(_LINK.product_id == Product.id, _CATEGORY.id == _LINK.category_id, _CATEGORY.is_on_menu),
    ),
)


def _categories(*, sees_hidden: bool) -> Many:
    in_category = and_(ProductCategory.product_id == Product.id, Category.id == ProductCategory.category_id)
    return Many(
        (ProductCategory, Category),
        # Without the condition the public could ask what a hidden category contains.
        in_category if sees_hidden else and_(in_category, Category.is_on_menu),
        {
            "id": UuidField(Category.id, indexed=True),
            "name": TextField(Category.name, of=Name, indexed=True, example="Кофе"),
            "slug": SlugField(Category.slug, indexed=True, example="coffee"),
        },
    )


def _sizes() -> Many:
    return Many(
        Size,
        Size.product_id == Product.id,
        {
            "id": UuidField(Size.id, indexed=True),
            "name": TextField(Size.name, of=Name, indexed=True, example="L"),
            "volume_ml": IntegerField(Size.volume_ml, nullable=True, indexed=True, example=400),
            "price_delta": MoneyField(Size.price_delta, signed=True, example="60.00"),
            "is_default": BooleanField(Size.is_default),
            **nutrition_fields(Size.nutrition),
        },
    )


def _modifier_groups(*, sees_hidden: bool, is_of_shop: bool) -> Many:
    return Many(
        (ProductModifierGroup, ModifierGroup),
        and_(ProductModifierGroup.product_id == Product.id, ModifierGroup.id == ProductModifierGroup.group_id),
        {
            "id": UuidField(ModifierGroup.id, indexed=True),
            "name": TextField(ModifierGroup.name, of=Name, indexed=True, example="Молоко"),
            **{
                name: IntegerField(func.coalesce(own, of_group))
                for name, own, of_group in (
                    ("min_choices", ProductModifierGroup.min_choices, ModifierGroup.min_choices),
                    ("max_choices", ProductModifierGroup.max_choices, ModifierGroup.max_choices),
                    ("free_quantity", ProductModifierGroup.free_quantity, ModifierGroup.free_quantity),
                )
            },
            "options": options_field(ModifierGroup.id, sees_hidden=sees_hidden, is_of_shop=is_of_shop),
        },
    )


def _images() -> Many:
    return Many(
        ProductImage,
        ProductImage.product_id == Product.id,
        {
            "id": UuidField(ProductImage.id),
            "alt": TextField(ProductImage.alt, example="Чашка"),
            "width": IntegerField(ProductImage.width),
            "height": IntegerField(ProductImage.height),
            "position": IntegerField(ProductImage.position),
        },
    )


def _ingredients() -> Many:
    return Many(
        (ProductIngredient, Ingredient),
        and_(ProductIngredient.product_id == Product.id, Ingredient.id == ProductIngredient.ingredient_id),
        {
            "id": UuidField(Ingredient.id, indexed=True),
            "name": TextField(Ingredient.name, of=Name, indexed=True, example="молоко"),
        },
    )


def _filters_not_shown(*, sees_hidden: bool) -> dict[str, Field]:
    return {
        "category_id": LinkField(
            field=UuidField(Category.id), exists_clause=partial(_is_in_category, sees_hidden=sees_hidden), indexed=True
        ),
        "can_be_without": LinkField(
            field=MembersField(ProductDocument.can_be_without, choices=ALLERGENS, nullable=False, example="milk"),
            exists_clause=lambda match: (
                select(ProductDocument.product_id).where(ProductDocument.product_id == Product.id, match).exists()
            ),
            indexed=True,
        ),
    }


_OWN_PRICE: Final = (
    select(ShopProduct.price)
    .where(ShopProduct.shop_id == SHOP_ID, ShopProduct.product_id == Product.id)
    .scalar_subquery()
)


@cache
def products_listing(*, sees_hidden: bool, is_of_category: bool = False, is_of_shop: bool = False) -> Listing:
    """Return the declaration of the list of products, as the public or editors see it.

    `is_of_category`: the list of one category, in its order. No index serves this order: a category has few products.
    `is_of_shop`: products have the prices of the shop `SHOP_ID`. No index serves these either.
    """
    return Listing(
        name="Product",
        fields={
            "id": UuidField(Product.id, indexed=True),
            "name": TextField(Product.name, of=Name, indexed=True),
            "slug": SlugField(Product.slug, indexed=True),
            "description": TextField(Product.description, indexed=True),
            "price": MoneyField(func.coalesce(_OWN_PRICE, Product.price))
            if is_of_shop
            else MoneyField(Product.price, indexed=True),
            "is_active": BooleanField(Product.is_active, indexed=True),
            "is_on_menu": BooleanField(_IS_ON_MENU),
            "position": IntegerField(Product.position, indexed=True),
            "categories": _categories(sees_hidden=sees_hidden),
            "sizes": _sizes(),
            "modifier_groups": _modifier_groups(sees_hidden=sees_hidden, is_of_shop=is_of_shop),
            "images": _images(),
            "allergens": MembersField(Product.allergens, choices=ALLERGENS, indexed=True, example="milk"),
            "allergens_always": MembersField(Product.allergens_always, choices=ALLERGENS, example="milk"),
            **nutrition_fields(Product.nutrition),
            "ingredients": _ingredients(),
            "preparation_seconds": IntegerField(Product.preparation_seconds),
            "created_at": InstantField(Product.created_at, indexed=True),
            "updated_at": InstantField(Product.updated_at, indexed=True),
        },
        extra_filters=_filters_not_shown(sees_hidden=sees_hidden),
        sort={"category_position": IntegerField(_position_in_category())} if is_of_category else None,
        search_text=One(
            ProductDocument,
            ProductDocument.product_id == Product.id,
            TextField(ProductDocument.search_text if sees_hidden else ProductDocument.public_search_text),
        ),
        left_out={"images.urls": URLS_LEFT_OUT}
        | SCHEDULE_LEFT_OUT
        | availability_left_out("", "modifier_groups.options."),
        default_sort="category_position,position,name" if is_of_category else "position,name",
        id_column=Product.id,
    )


PRODUCTS: Final = products_listing(sees_hidden=True)
PRODUCTS_OF_CATEGORY: Final = products_listing(sees_hidden=True, is_of_category=True)
"""For the documentation, which names the sort orders of both."""


_WITH_PARTS: Final = (
    select(Product)
    .where(Product.archived_at.is_(None))
    .options(
        selectinload(Product.categories).joinedload(ProductCategory.category),
        selectinload(Product.sizes),
        selectinload(Product.images),
        selectinload(Product.ingredients).joinedload(ProductIngredient.ingredient),
        selectinload(Product.modifier_groups)
        .joinedload(ProductModifierGroup.group)
        .selectinload(ModifierGroup.options)
        .selectinload(Option.ingredients)
        .joinedload(OptionIngredient.ingredient),
    )
)
"""Products that are not archived, with all their parts. The number of statements doesn't depend on that of products."""


def _documents(*, sees_hidden: bool) -> Select[bytes | None]:
    # PostgreSQL runs the subquery after counting, sorting and LIMIT. A join would carry the documents of all matches
    # through these steps.
    document = select(ProductDocument.everything() if sees_hidden else ProductDocument.public)
    statement = select(document.where(ProductDocument.product_id == Product.id).scalar_subquery()).where(
        Product.archived_at.is_(None)
    )
    shown = select(ProductDocument.product_id).where(
        ProductDocument.product_id == Product.id, ProductDocument.public.is_not(None)
    )
    return statement if sees_hidden else statement.where(shown.exists())


_ALL_DOCUMENTS: Final = _documents(sees_hidden=True)
_PUBLIC_DOCUMENTS: Final = _documents(sees_hidden=False)
_VERSION: Final = select(MenuVersion.version).scalar_subquery()
_LIST_ALL: Final = ListStatement(_ALL_DOCUMENTS.add_columns(_VERSION))
_LIST_PUBLIC: Final = ListStatement(_PUBLIC_DOCUMENTS.add_columns(_VERSION))
_LIST_ALL_IDS: Final = ListStatement(_ALL_DOCUMENTS.with_only_columns(Product.id, _VERSION))
_LIST_PUBLIC_IDS: Final = ListStatement(_PUBLIC_DOCUMENTS.with_only_columns(Product.id, _VERSION))
_IS_PRODUCT: Final = Product.id == bindparam("product_id")
_GET_ANY: Final = Statement(_ALL_DOCUMENTS.where(_IS_PRODUCT).add_columns(versions.COLUMN))
_GET_PUBLIC: Final = Statement(_PUBLIC_DOCUMENTS.where(_IS_PRODUCT).add_columns(versions.COLUMN))


async def list_products(
    reader: Reader, *, query: ListQuery, sees_hidden: bool, category_id: UUID | None = None
) -> tuple[Page[bytes], tuple[UUID, bool] | None]:
    """Return a page of products as JSON documents, and its version; None as version if the page is empty.

    The public sees neither inactive products nor their inactive parts. `category_id` is the category by whose order
    the query sorts, if it is a query of `PRODUCTS_OF_CATEGORY`. The version changes whenever the documents may change.
    """
    page = await (_LIST_ALL if sees_hidden else _LIST_PUBLIC).page(reader, query, category_id=category_id)
    version = (page.items[0][1], sees_hidden) if page.items else None
    return page.map(itemgetter(0)), version


async def list_product_ids_of_shop(
    reader: Reader, *, query: ListQuery, sees_hidden: bool, category_id: UUID | None, shop_id: UUID
) -> tuple[Page[UUID], UUID | None]:
    """Return a page of product ids, filtered and sorted by the prices of a shop, and the menu's version.

    The version is None if the page is empty.
    """
    statement = _LIST_ALL_IDS if sees_hidden else _LIST_PUBLIC_IDS
    page = await statement.page(reader, query, category_id=category_id, shop_id=shop_id)
    version = page.items[0][1] if page.items else None
    return page.map(itemgetter(0)), version


_IS_REQUESTED: Final = ProductDocument.product_id == any_(bindparam("product_ids", type_=ARRAY(Uuid)))
_ROW_VERSION: Final = cast(literal_column("products.xmin"), Text)
_WITH_PRICING: Final = tuple(
    Statement(
        select(Product.id, shown, ProductDocument.pricing, _ROW_VERSION)
        .join(Product, Product.id == ProductDocument.product_id)
        .where(_IS_REQUESTED, shown.is_not(None))
    )
    for shown in (ProductDocument.public, ProductDocument.everything())
)


class StoredProduct(NamedTuple):
    """A product as it is stored: its JSON document, its pricing document, and its version."""

    id: UUID
    document: bytes
    pricing: bytes
    version: str


async def load_documents(reader: Reader, product_ids: Collection[UUID], *, sees_hidden: bool) -> list[StoredProduct]:
    """Return products as they are stored. What is hidden from the public is left out unless `sees_hidden`."""
    rows = await _WITH_PRICING[sees_hidden].rows(reader, product_ids=list(product_ids))
    return [
        StoredProduct(id_, document, pricing, versions.name(version, id_)) for id_, document, pricing, version in rows
    ]


async def get_document(reader: Reader, *, product_id: UUID, sees_hidden: bool) -> tuple[bytes, str]:
    """Return a product as a JSON document, and its version. The public sees no inactive products or parts."""
    row = await (_GET_ANY if sees_hidden else _GET_PUBLIC).row(reader, product_id=product_id)
    if row is None or row[0] is None:
        raise NotFoundError
    return row[0], versions.name(row[1], product_id)


async def get_product(session: AsyncSession, product_id: UUID) -> Product:
    """Return a product with its parts, read again even if the session has it. Archived products are not found."""
    product = await session.scalar(
        _WITH_PARTS.where(Product.id == product_id), execution_options={"populate_existing": True}
    )
    if product is None:
        raise NotFoundError
    return product


async def load_products(session: AsyncSession, product_ids: Collection[UUID]) -> Sequence[Product]:
    """Return products with their parts, in order of their ids. Archived and unknown products are left out."""
    return (await session.scalars(_WITH_PARTS.where(Product.id.in_(product_ids)).order_by(Product.id))).all()


async def load_all_products(session: AsyncSession) -> Sequence[Product]:
    """Return every product that is not archived, with its parts, in the order of lists."""
    return (await session.scalars(_WITH_PARTS.order_by(Product.position, Product.slug))).all()


async def get_product_for_update(session: AsyncSession, product_id: UUID) -> Product:
    """Lock a product against edits of it and of its parts, and return it without them.

    Carts may still refer to it.
    """
    product = await session.scalar(
        select(Product).where(Product.id == product_id, Product.archived_at.is_(None)).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )
    if product is None:
        raise NotFoundError
    await versions.check(session, key=Product.id, value=product_id)
    return product


async def get_any_product_for_update(session: AsyncSession, product_id: UUID) -> Product:
    """Lock a product, archived or not, and return it without its parts."""
    product = await session.scalar(
        select(Product).where(Product.id == product_id).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )
    if product is None:
        raise NotFoundError
    return product


async def is_slug_taken(session: AsyncSession, slug: str) -> bool:
    """Return whether a product that is not archived has this slug."""
    taken = select(Product.id).where(Product.slug == slug, Product.archived_at.is_(None))
    return bool(await session.scalar(select(taken.exists())))


async def lock_live_products(session: AsyncSession, product_ids: Collection[UUID]) -> Sequence[UUID]:
    """Lock products against edits, in order of their ids, and return these. Archived and unknown ones are left out."""
    live = select(Product.id).where(Product.id.in_(product_ids), Product.archived_at.is_(None))
    return (await session.scalars(live.order_by(Product.id).with_for_update(key_share=True))).all()


async def list_product_ids(session: AsyncSession, *, category_id: UUID | None) -> Sequence[UUID]:
    """Return the ids of all products, hidden ones too, in order of their names.

    With `category_id`, only those of this category and of the categories under it.
    """
    statement = select(Product.id).where(Product.archived_at.is_(None))
    if category_id is not None:
        statement = statement.where(_is_in_category(Category.id == category_id, sees_hidden=True))
    return (await session.scalars(statement.order_by(case_folded(Product.name), Product.id))).all()


async def load_live_products(
    session: AsyncSession, product_ids: Collection[UUID], *, lock: bool
) -> dict[UUID, Product]:
    """Return products by id, without their parts; `lock` locks them against edits first.

    Archived and unknown products are left out.
    """
    if lock:
        await lock_live_products(session, product_ids)
    # Read after the lock: while it waited, another change may have committed.
    products = await session.scalars(
        select(Product).where(Product.id.in_(product_ids), Product.archived_at.is_(None)),
        execution_options={"populate_existing": True},
    )
    return {product.id: product for product in products}


async def list_images(session: AsyncSession, product_id: UUID) -> Sequence[ProductImage]:
    """Return a product's pictures in their order."""
    images = await session.scalars(
        select(ProductImage)
        .where(ProductImage.product_id == product_id)
        .order_by(ProductImage.position, ProductImage.id)
    )
    return images.all()


async def list_all_images(session: AsyncSession) -> Sequence[Row[UUID, str, list[int], datetime]]:
    """Return every picture of products and categories: `id`, `key`, `widths` and `created_at`.

    The id of a category's picture is the category's.
    """
    of_products = select(ProductImage.id, ProductImage.key, ProductImage.widths, ProductImage.created_at)
    of_categories = select(Category.id, Category.image_key, Category.image_widths, Category.image_created_at)
    return (await session.execute(of_products.union_all(of_categories.where(Category.image_key.is_not(None))))).all()
