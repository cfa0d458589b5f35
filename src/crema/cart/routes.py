"""The cart over HTTP. Each person has one, so paths need no id."""

from uuid import UUID

from fastapi import Response

from crema.accounts.deps import Idempotent, VerifiedActor
from crema.cart import queries, service
from crema.cart.deps import CART, Currency
from crema.cart.schemas import AddToCart, CartOut, ChangeItem, ChooseShop
from crema.web.clock import Now
from crema.web.listing import created_response, json_response
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Transaction, Writes

router = make_router("Cart")


@router.get("/cart", summary="See the cart", response_model=CartOut, responses=error_responses(401, 403, 422))
async def see_cart(tx: Writes, actor: VerifiedActor, now: Now, currency: Currency) -> Response:
    """Prices are those of the cart's shop now. Items that are not available there are marked and stay in the cart."""
    cart = await service.get_or_create_cart(tx, user_id=actor.user_id, now=now)
    priced = await queries.price_cart(tx, cart=cart, currency=currency, now=now)
    return json_response(CartOut.model_validate(priced).model_dump_json(), version=priced.version)


@router.post(
    "/cart",
    status_code=201,
    summary="Add to the cart",
    response_model=CartOut,
    responses=LOCATED | error_responses(401, 403, 404, 409, 422),
)
async def add_to_cart(
    body: AddToCart, tx: Writes, actor: VerifiedActor, now: Now, currency: Currency, _idempotent: Idempotent
) -> Response:
    """If the same configuration is in the cart already, its quantity grows."""
    cart = await service.add(tx, user_id=actor.user_id, wanted=body, currency=currency, now=now)
    return created_response(CartOut.model_validate(cart).model_dump_json(), "/cart", version=cart.version)


@router.put(
    "/cart/shop", summary="Choose the shop", dependencies=[CART.edited], responses=error_responses(401, 403, 422)
)
async def choose_shop(body: ChooseShop, tx: Transaction, actor: VerifiedActor, now: Now, currency: Currency) -> CartOut:
    cart = await service.choose_shop(tx, user_id=actor.user_id, shop_id=body.shop_id, now=now)
    return CartOut.model_validate(await queries.price_cart(tx, cart=cart, currency=currency, now=now))


@router.patch(
    "/cart/{item_id}",
    summary="Change an item",
    dependencies=[CART.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_item(
    item_id: UUID, body: ChangeItem, tx: Transaction, actor: VerifiedActor, now: Now, currency: Currency
) -> CartOut:
    return CartOut.model_validate(
        await service.change(tx, user_id=actor.user_id, item_id=item_id, changes=body, currency=currency, now=now)
    )


@router.delete(
    "/cart/{item_id}",
    status_code=204,
    summary="Remove an item",
    dependencies=[CART.edited],
    responses=error_responses(401, 403, 404, 422),
)
async def remove_item(item_id: UUID, tx: Transaction, actor: VerifiedActor, now: Now) -> None:
    await service.remove(tx, user_id=actor.user_id, item_id=item_id, now=now)


@router.delete(
    "/cart",
    status_code=204,
    summary="Empty the cart",
    dependencies=[CART.edited],
    responses=error_responses(401, 403, 422),
)
async def empty_cart(tx: Transaction, actor: VerifiedActor, now: Now) -> None:
    await service.clear(tx, user_id=actor.user_id, now=now)
