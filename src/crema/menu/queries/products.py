"""Products with everything a menu shows of them, and their pictures."""

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
from crema.menu.queries.parts import (
    ADDRESSES,
    SCHEDULE_LEFT_OUT,
    SHOP_ID,
    availability_left_out,
    nutrition_of,
    options_of,
)
from crema.schemas import Name

_LAST: Final = 2**31 - 1


def _stands_under(match: ColumnElement[bool], *, sees_hidden: bool) -> ColumnElement[bool]:
    """Match products of headings, and of all headings under those."""
    shown = true() if sees_hidden else Category.is_on_menu  # else the public could ask what a hidden one holds
    below = select(Category.id).where(match, shown).cte(recursive=True)
    below = below.union(select(Category.id).join(below, Category.parent_id == below.c.id).where(shown))
    return (
        select(ProductCategory.product_id)
        .where(ProductCategory.product_id == Product.id, ProductCategory.category_id.in_(select(below.c.id)))
        .exists()
    )


def _place_in_category() -> ColumnElement[int]:
    """Give a product's place in the order of the category that `category_id` names."""
    place = select(ProductCategory.position).where(
        ProductCategory.product_id == Product.id, ProductCategory.category_id == bindparam("category_id", type_=Uuid)
    )
    return func.coalesce(place.scalar_subquery(), _LAST)


_LINK: Final = aliased(ProductCategory)
_HEADING: Final = aliased(Category)
_IS_ON_MENU: Final = and_(
    Product.is_active,
    or_(
        not_(exists().where(_LINK.product_id == Product.id)),
        exists().where(_LINK.product_id == Product.id, _HEADING.id == _LINK.category_id, _HEADING.is_on_menu),
    ),
)


def _categories(*, sees_hidden: bool) -> Many:
    in_category = and_(ProductCategory.product_id == Product.id, Category.id == ProductCategory.category_id)
    return Many(
        (ProductCategory, Category),
        # else the public could ask what a hidden one holds
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
            **nutrition_of(Size.nutrition),
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
            "options": options_of(ModifierGroup.id, sees_hidden=sees_hidden, is_of_shop=is_of_shop),
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
            field=UuidField(Category.id), exists_clause=partial(_stands_under, sees_hidden=sees_hidden), indexed=True
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
    """Declare the list of products, as the public or editors see it.

    `is_of_category`: of one category, by its order. No index serves that, of the few products that one category has.
    `is_of_shop`: at the prices of the shop `SHOP_ID`, which no index knows.
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
            **nutrition_of(Product.nutrition),
            "ingredients": _ingredients(),
            "preparation_seconds": IntegerField(Product.preparation_seconds),
            "created_at": InstantField(Product.created_at, indexed=True),
            "updated_at": InstantField(Product.updated_at, indexed=True),
        },
        extra_filters=_filters_not_shown(sees_hidden=sees_hidden),
        sort={"category_position": IntegerField(_place_in_category())} if is_of_category else None,
        search_text=One(
            ProductDocument,
            ProductDocument.product_id == Product.id,
            TextField(ProductDocument.search_text if sees_hidden else ProductDocument.public_search_text),
        ),
        left_out={"images.urls": ADDRESSES} | SCHEDULE_LEFT_OUT | availability_left_out("", "modifier_groups.options."),
        default_sort="category_position,position,name" if is_of_category else "position,name",
        id_column=Product.id,
    )


PRODUCTS: Final = products_listing(sees_hidden=True)
PRODUCTS_OF_CATEGORY: Final = products_listing(sees_hidden=True, is_of_category=True)
"""For the documentation, which names the orders of both."""


_WHOLE: Final = (
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
"""Products that are not archived, with all their parts: the same number of statements for any number."""


def _documents(*, sees_hidden: bool) -> Select[bytes | None]:
    # Subqueries are looked up after counting, sorting and cutting; joined, the documents of all that match would be
    # carried along.
    document = select(ProductDocument.everything() if sees_hidden else ProductDocument.public)
    statement = select(document.where(ProductDocument.product_id == Product.id).scalar_subquery()).where(
        Product.archived_at.is_(None)
    )
    shown = select(ProductDocument.product_id).where(
        ProductDocument.product_id == Product.id, ProductDocument.public.is_not(None)
    )
    return statement if sees_hidden else statement.where(shown.exists())


_ALL: Final = _documents(sees_hidden=True)
_SHOWN: Final = _documents(sees_hidden=False)
_VERSION: Final = select(MenuVersion.version).scalar_subquery()
_LIST_OF_ALL: Final = ListStatement(_ALL.add_columns(_VERSION))
_LIST_SHOWN: Final = ListStatement(_SHOWN.add_columns(_VERSION))
_IDS_OF_ALL: Final = ListStatement(_ALL.with_only_columns(Product.id, _VERSION))
_IDS_SHOWN: Final = ListStatement(_SHOWN.with_only_columns(Product.id, _VERSION))
_THIS: Final = Product.id == bindparam("product_id")
_ONE_OF_ALL: Final = Statement(_ALL.where(_THIS).add_columns(versions.COLUMN))
_ONE_SHOWN: Final = Statement(_SHOWN.where(_THIS).add_columns(versions.COLUMN))


async def list_products(
    reader: Reader, *, query: ListQuery, sees_hidden: bool, category_id: UUID | None = None
) -> tuple[Page[bytes], tuple[UUID, bool] | None]:
    """List products as JSON documents. The public sees nothing inactive, neither here nor inside.

    `category_id` is the category whose order a query of `PRODUCTS_OF_CATEGORY` asks for.

    Beside them stands what is another whenever they may be; None if there are none.
    """
    page = await (_LIST_OF_ALL if sees_hidden else _LIST_SHOWN).page(reader, query, category_id=category_id)
    version = (page.items[0][1], sees_hidden) if page.items else None
    return page.map(itemgetter(0)), version


async def list_product_ids_of_shop(
    reader: Reader, *, query: ListQuery, sees_hidden: bool, category_id: UUID | None, shop_id: UUID
) -> tuple[Page[UUID], UUID | None]:
    """List products by their ids, and the menu's version, at the prices of a shop; None if there are none."""
    statement = _IDS_OF_ALL if sees_hidden else _IDS_SHOWN
    page = await statement.page(reader, query, category_id=category_id, shop_id=shop_id)
    version = page.items[0][1] if page.items else None
    return page.map(itemgetter(0)), version


_WANTED: Final = ProductDocument.product_id == any_(bindparam("product_ids", type_=ARRAY(Uuid)))
_ROW_VERSION: Final = cast(literal_column("products.xmin"), Text)
_WITH_PRICING: Final = tuple(
    Statement(
        select(Product.id, shown, ProductDocument.pricing, _ROW_VERSION)
        .join(Product, Product.id == ProductDocument.product_id)
        .where(_WANTED, shown.is_not(None))
    )
    for shown in (ProductDocument.public, ProductDocument.everything())
)


class StoredProduct(NamedTuple):
    """A product as it is stored: the JSON document, what pricing needs of it as JSON, and its version."""

    id: UUID
    document: bytes
    pricing: bytes
    version: str


async def load_documents(reader: Reader, product_ids: Collection[UUID], *, sees_hidden: bool) -> list[StoredProduct]:
    """Load products as they are stored; what the asker doesn't see is absent."""
    rows = await _WITH_PRICING[sees_hidden].rows(reader, product_ids=list(product_ids))
    return [
        StoredProduct(id_, document, pricing, versions.name(version, id_)) for id_, document, pricing, version in rows
    ]


async def get_document(reader: Reader, *, product_id: UUID, sees_hidden: bool) -> tuple[bytes, str]:
    """Return a product as a JSON document, and its version. The public sees nothing inactive, itself or inside."""
    row = await (_ONE_OF_ALL if sees_hidden else _ONE_SHOWN).row(reader, product_id=product_id)
    if row is None or row[0] is None:
        raise NotFoundError
    return row[0], versions.name(row[1], product_id)


async def get_product(session: AsyncSession, product_id: UUID) -> Product:
    """Load a product afresh with its parts."""
    product = await session.scalar(
        _WHOLE.where(Product.id == product_id), execution_options={"populate_existing": True}
    )
    if product is None:
        raise NotFoundError
    return product


async def load_products(session: AsyncSession, product_ids: Collection[UUID]) -> Sequence[Product]:
    """Load products with their parts; archived and unknown ones are absent."""
    return (await session.scalars(_WHOLE.where(Product.id.in_(product_ids)).order_by(Product.id))).all()


async def load_all_products(session: AsyncSession) -> Sequence[Product]:
    """Load every product that is not archived with its parts, by its place in lists."""
    return (await session.scalars(_WHOLE.order_by(Product.position, Product.slug))).all()


async def get_product_for_update(session: AsyncSession, product_id: UUID) -> Product:
    """Lock a product, without loading its parts, whose edits take turns on this row too. Carts may still take it."""
    product = await session.scalar(
        select(Product).where(Product.id == product_id, Product.archived_at.is_(None)).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )
    if product is None:
        raise NotFoundError
    await versions.check(session, key=Product.id, value=product_id)
    return product


async def get_any_product_for_update(session: AsyncSession, product_id: UUID) -> Product:
    """Lock a product, be it archived or not, without loading its parts."""
    product = await session.scalar(
        select(Product).where(Product.id == product_id).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )
    if product is None:
        raise NotFoundError
    return product


async def is_slug_taken(session: AsyncSession, slug: str) -> bool:
    """Tell whether a product that is not archived has this slug."""
    taken = select(Product.id).where(Product.slug == slug, Product.archived_at.is_(None))
    return bool(await session.scalar(select(taken.exists())))


async def lock_live_products(session: AsyncSession, product_ids: Collection[UUID]) -> Sequence[UUID]:
    """Lock products against edits, in primary-key order, and give their ids; archived and unknown ones are absent."""
    wanted = select(Product.id).where(Product.id.in_(product_ids), Product.archived_at.is_(None))
    return (await session.scalars(wanted.order_by(Product.id).with_for_update(key_share=True))).all()


async def list_product_ids(session: AsyncSession, *, category_id: UUID | None) -> Sequence[UUID]:
    """Give the ids of all products by name, hidden ones too; with `category_id` those of it and all under it."""
    wanted = select(Product.id).where(Product.archived_at.is_(None))
    if category_id is not None:
        wanted = wanted.where(_stands_under(Category.id == category_id, sees_hidden=True))
    return (await session.scalars(wanted.order_by(case_folded(Product.name), Product.id))).all()


async def load_live_products(
    session: AsyncSession, product_ids: Collection[UUID], *, lock: bool
) -> dict[UUID, Product]:
    """Load products without their parts; with `lock` against edits. Archived and unknown ones are absent."""
    if lock:
        await lock_live_products(session, product_ids)
    # Read after the lock: while it waited, another change may have committed.
    products = await session.scalars(
        select(Product).where(Product.id.in_(product_ids), Product.archived_at.is_(None)),
        execution_options={"populate_existing": True},
    )
    return {product.id: product for product in products}


async def list_images(session: AsyncSession, product_id: UUID) -> Sequence[ProductImage]:
    """Give a product's pictures in their order."""
    images = await session.scalars(
        select(ProductImage)
        .where(ProductImage.product_id == product_id)
        .order_by(ProductImage.position, ProductImage.id)
    )
    return images.all()


async def list_all_images(session: AsyncSession) -> Sequence[Row[UUID, str, list[int], datetime]]:
    """Give every picture there is: the id of the picture or of its heading, `key`, `widths` and `created_at`."""
    of_products = select(ProductImage.id, ProductImage.key, ProductImage.widths, ProductImage.created_at)
    of_headings = select(Category.id, Category.image_key, Category.image_widths, Category.image_created_at)
    return (await session.execute(of_products.union_all(of_headings.where(Category.image_key.is_not(None))))).all()
