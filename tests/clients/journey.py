"""The way of an order with openapi-python-client's client: the same as `journey.ts`."""

import os
import re
import sys
import urllib.request
from uuid import UUID

from crema_client import AuthenticatedClient, Client
from crema_client.api.cart import add_to_cart
from crema_client.api.menu import list_products
from crema_client.api.orders import change_order, list_orders, place_order
from crema_client.api.shops_and_static_information import list_shops
from crema_client.api.users_management import authenticate, register, see_me, verify
from crema_client.api.working_with_jwt import log_out, refresh
from crema_client.models import (
    AddToCart,
    Cart,
    ChangeOrder,
    ListedShopPage,
    ListOrdersSortItem,
    ListOrdersStatusInItem,
    ListProductsSortItem,
    LogIn,
    Order,
    OrderPage,
    OrderStatus,
    PlaceOrder,
    ProductFilter,
    ProductFilterAllergensNe,
    ProductPage,
    Refresh,
    Register,
    Registered,
    Tokens,
    User,
    Verify,
)

URL = os.environ["CREMA_URL"]
EMAIL = "openapi-python-client@example.com"
PASSWORD = "oat milk please"
client = Client(base_url=URL)


def code_for(email: str) -> str:
    with urllib.request.urlopen(f"{URL}/mailbox") as answer:  # noqa: S310 - the server that the test has started
        mailbox = answer.read().decode().partition(email)[2]
    code = re.search(r"\b\d{6}\b", re.sub("#[0-9a-fA-F]{6}", "", mailbox))
    assert code
    return code[0]


def log_in(email: str, password: str) -> Tokens:
    tokens = authenticate.sync(client=client, body=LogIn(email=email, password=password))
    assert isinstance(tokens, Tokens), tokens
    return tokens


def authorized(access_token: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=URL, token=access_token)


def a_product(customer: AuthenticatedClient) -> UUID:
    page = list_products.sync(
        client=customer,
        filter_=ProductFilter(price_gte="100", allergens_ne=ProductFilterAllergensNe.MILK, sizes_volume_ml_gte=300),
        sort=[ListProductsSortItem("-price"), ListProductsSortItem.NAME],
    )
    assert isinstance(page, ProductPage), page
    prices = [float(product.price) for product in page.items]
    assert len(prices) > 1
    assert min(prices) >= 100
    assert all(any((size.volume_ml or 0) >= 300 for size in product.sizes) for product in page.items)
    assert prices == sorted(prices, reverse=True)
    assert not any("milk" in product.allergens for product in page.items)
    return page.items[0].id


def main() -> int:
    made = register.sync(client=client, body=Register(email=EMAIL, password=PASSWORD))
    assert isinstance(made, Registered), made
    proof = Verify(email=EMAIL, code=code_for(EMAIL), registration_id=made.registration_id)
    verified = verify.sync(client=client, body=proof)
    assert isinstance(verified, User), verified
    assert verified.is_verified
    tokens = log_in(EMAIL, PASSWORD)
    customer = authorized(tokens.access_token)

    cart = add_to_cart.sync(client=customer, body=AddToCart(product_id=a_product(customer)))
    assert isinstance(cart, Cart), cart
    shops = list_shops.sync(client=customer, open_now=True)
    assert isinstance(shops, ListedShopPage), shops
    wanted = PlaceOrder(shop_id=shops.items[0].id, expected_total=cart.total)
    order = place_order.sync(client=customer, body=wanted)
    assert isinstance(order, Order), order

    staff = authorized(log_in(os.environ["CREMA_STAFF"], os.environ["CREMA_STAFF_PASSWORD"]).access_token)
    accepted = change_order.sync(order.id, client=staff, body=ChangeOrder(status=OrderStatus.ACCEPTED))
    assert isinstance(accepted, Order), accepted
    for statuses, found in (
        ([ListOrdersStatusInItem.ACCEPTED, ListOrdersStatusInItem.READY], [order.id]),
        ([ListOrdersStatusInItem.CANCELLED], []),
    ):
        page = list_orders.sync(client=customer, status_in=statuses, sort=[ListOrdersSortItem("-created_at")])
        assert isinstance(page, OrderPage), page
        assert [each.id for each in page.items] == found

    following = refresh.sync(client=client, body=Refresh(refresh_token=tokens.refresh_token))
    assert isinstance(following, Tokens), following
    customer = authorized(following.access_token)
    assert isinstance(see_me.sync(client=customer), User)
    assert log_out.sync_detailed(client=customer).status_code == 204
    assert see_me.sync_detailed(client=customer).status_code == 401
    return 0


if __name__ == "__main__":
    sys.exit(main())
