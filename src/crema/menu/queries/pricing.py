"""Products as plain values, for the cart and orders to price."""

from collections.abc import Collection
from decimal import Decimal
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import ARRAY, Uuid, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.db.statement import Statement
from crema.menu.domain import PricedProduct
from crema.menu.models import Product, ProductDocument

_WANTED: Final = any_(bindparam("product_ids", type_=ARRAY(Uuid)))
_LOCK: Final = Statement(
    select(Product.id).where(Product.id == _WANTED).order_by(Product.id).with_for_update(read=True)
)
_PRODUCTS: Final = Statement(
    select(Product.id, Product.name, Product.price, ProductDocument.full)
    .outerjoin(ProductDocument, ProductDocument.product_id == Product.id)
    .where(Product.id == _WANTED)
    .order_by(Product.id)
)
_DOCUMENT: Final = TypeAdapter(PricedProduct)


async def load_for_pricing(
    session: AsyncSession, product_ids: Collection[UUID], *, lock: bool = False
) -> dict[UUID, PricedProduct]:
    """Load products with all that pricing needs, archived ones too, in one round trip; unknown ids are absent.

    It is read from the documents that the menu shows: what is charged is what was shown. With `lock` (a second round
    trip) edits of these products wait until the transaction ends; orders don't wait for each other.
    """
    if not product_ids:
        return {}
    if lock:
        # Locking in the reading statement would, after a wait, pair the new product with its old document.
        await _LOCK.rows(session, product_ids=list(product_ids))
    return {
        product_id: _archived(product_id, name, price) if document is None else _DOCUMENT.validate_json(document)
        for product_id, name, price, document in await _PRODUCTS.rows(session, product_ids=list(product_ids))
    }


def _archived(product_id: UUID, name: str, price: Decimal) -> PricedProduct:
    """Make a product without a document: it has left the menu."""
    return PricedProduct(
        id=product_id,
        name=name,
        price=price,
        is_active=False,
        is_archived=True,
        preparation_seconds=0,
        sizes=(),
        modifier_groups=(),
    )
