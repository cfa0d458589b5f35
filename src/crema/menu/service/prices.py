"""Changing the prices of many products at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import InvalidError, Loc
from crema.core.money import MAX_AMOUNT
from crema.menu import domain, queries
from crema.menu.models import Category
from crema.menu.schemas import ChangePrices
from crema.menu.service import documents
from crema.menu.service.integrity import check_known, locations, refuse_unknown


class PriceTooHighError(InvalidError):
    """A percentage would raise a price above the largest that is allowed. `errors` names the products."""

    code = "price_too_high"
    title = "A price would become too high."
    advice = "Choose a lower percentage, or leave out the products of `errors`."

    def __init__(self, places: Mapping[UUID, Loc]) -> None:
        message = f"its price would be more than {MAX_AMOUNT}: leave it out or send a lower percent"
        errors = [{"loc": ["body", *loc], "msg": f"{id_}: {message}", "type": self.code} for id_, loc in places.items()]
        super().__init__(f"More than {MAX_AMOUNT}: {', '.join(map(str, places))}.", errors=errors)


@dataclass(frozen=True, slots=True)
class PriceChange:
    """The price of a product before and after the change."""

    product_id: UUID
    name: str
    price_before: Decimal
    price_after: Decimal


async def change_prices(session: AsyncSession, *, request: ChangePrices, now: datetime) -> Sequence[PriceChange]:
    """Change the prices of products, all or none, and return them with the old ones. A dry run changes nothing.

    The products are locked, so that a percentage is of their present price. They are in the order of the request, or
    by name if it lists none. Products whose price stays the same are not written.
    """
    places = await _find_products(session, request)
    found = await queries.load_live_products(session, places, lock=not request.dry_run)
    if request.names_products:
        refuse_unknown({loc: id_ for id_, loc in places.items() if id_ not in found})

    listed = {each.product_id: each.price for each in request.prices or ()}
    changes = [
        PriceChange(
            product_id=id_,
            name=found[id_].name,
            price_before=found[id_].price,
            price_after=listed[id_]
            if request.percent is None
            else domain.changed_price(found[id_].price, percent=request.percent, round_to=request.round_to),
        )
        for id_ in places
        if id_ in found
    ]
    if too_high := {each.product_id: places[each.product_id] for each in changes if each.price_after > MAX_AMOUNT}:
        raise PriceTooHighError(too_high)

    changed = [each for each in changes if each.price_after != each.price_before]
    if changed and not request.dry_run:
        for each in changed:
            found[each.product_id].price = each.price_after
            found[each.product_id].updated_at = now
        await documents.refresh(session, [each.product_id for each in changed])
    return changes


async def _find_products(session: AsyncSession, request: ChangePrices) -> dict[UUID, Loc]:
    """Return the ids of the products to change, each with its location in the body."""
    if request.prices is not None:
        return {each.product_id: ("prices", place, "product_id") for place, each in enumerate(request.prices)}
    if request.product_ids is not None:
        return {id_: loc for loc, id_ in locations("product_ids", request.product_ids).items()}
    if request.category_id is not None:
        await check_known(session, Category, {("category_id",): request.category_id})
    ids = await queries.list_product_ids(session, category_id=request.category_id)
    return dict.fromkeys(ids, ("percent",))
