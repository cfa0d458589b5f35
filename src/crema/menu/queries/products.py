"""Products with everything a menu shows of them, and their pictures."""

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Final
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from crema.core.errors import NotFoundError
from crema.core.page import Page
from crema.db.driver import Reader
from crema.db.listing import (
    BooleanField,
    InstantField,
    IntegerField,
    LinkField,
    Listing,
    ListQuery,
    ListStatement,
    MoneyField,
    SlugField,
    TextField,
    UuidField,
)
from crema.db.statement import Statement
from crema.menu.models import (
    Category,
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
)
from crema.schemas import Name


def _listing(*, sees_hidden: bool) -> Listing:
    links = select(ProductCategory.product_id).where(ProductCategory.product_id == Product.id)
    if not sees_hidden:  # else filtering by a hidden category would tell the public what stands under it
        links = links.where(ProductCategory.category.has(Category.is_active))
    return Listing(
        fields={
            "id": UuidField(Product.id),
            "name": TextField(Product.name, of=Name),
            "slug": SlugField(Product.slug),
            "price": MoneyField(Product.price),
            "category_id": LinkField(
                of=UuidField(ProductCategory.category_id), exists=lambda match: links.where(match).exists()
            ),
            "is_active": BooleanField(Product.is_active, permission="menu:write"),
            "position": IntegerField(Product.position),
            "created_at": InstantField(Product.created_at),
            "updated_at": InstantField(Product.updated_at),
        },
        sort=("name", "price", "position", "created_at", "updated_at"),
        default_sort="position,name",
        search={"name": Product.name, "description": Product.description},
        id_column=Product.id,
    )


PRODUCTS: Final = _listing(sees_hidden=True)
PUBLIC_PRODUCTS: Final = _listing(sees_hidden=False)


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
    return statement if sees_hidden else statement.where(Product.is_active)


_ALL: Final = _documents(sees_hidden=True)
_SHOWN: Final = _documents(sees_hidden=False)
_VERSION: Final = select(MenuVersion.version).scalar_subquery()
_LIST_OF_ALL: Final = ListStatement(_ALL.add_columns(_VERSION))
_LIST_SHOWN: Final = ListStatement(_SHOWN.add_columns(_VERSION))
_THIS: Final = Product.id == bindparam("product_id")
_ONE_OF_ALL: Final = Statement(_ALL.where(_THIS))
_ONE_SHOWN: Final = Statement(_SHOWN.where(_THIS))


async def list_products(
    reader: Reader, *, query: ListQuery, sees_hidden: bool
) -> tuple[Page[bytes], tuple[UUID, bool] | None]:
    """List products as JSON documents. The public sees nothing inactive, neither here nor inside.

    Beside them stands what is another whenever they may be; None if there are none.
    """
    page = await (_LIST_OF_ALL if sees_hidden else _LIST_SHOWN).page(reader, query)
    version = (page.items[0][1], sees_hidden) if page.items else None
    return page.map(itemgetter(0)), version


async def get_document(reader: Reader, *, product_id: UUID, sees_hidden: bool) -> bytes:
    """Give a product as a JSON document. The public sees nothing inactive, neither itself nor inside."""
    row = await (_ONE_OF_ALL if sees_hidden else _ONE_SHOWN).row(reader, product_id=product_id)
    if row is None or row[0] is None:
        raise NotFoundError
    document: bytes = row[0]
    return document


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


async def get_product_for_update(session: AsyncSession, product_id: UUID) -> Product:
    """Lock a product, without loading its parts, whose edits take turns on this row too. Carts may still take it."""
    product = await session.scalar(
        select(Product).where(Product.id == product_id, Product.archived_at.is_(None)).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )
    if product is None:
        raise NotFoundError
    return product


async def list_images(session: AsyncSession, product_id: UUID) -> Sequence[ProductImage]:
    """Give a product's pictures in their order."""
    images = await session.scalars(
        select(ProductImage)
        .where(ProductImage.product_id == product_id)
        .order_by(ProductImage.position, ProductImage.id)
    )
    return images.all()


async def list_all_images(session: AsyncSession) -> Sequence[ProductImage]:
    """Give every picture there is."""
    return (await session.scalars(select(ProductImage))).all()
