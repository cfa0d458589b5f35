"""What a shop has of its own: prices, what it sells, stocks."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from crema.db.session import Sessions
from factories.orders import Latte, make_latte, make_shop

pytestmark = pytest.mark.anyio
Json = dict[str, Any]


@pytest.fixture
async def latte(sessions: Sessions) -> Latte:
    return await make_latte(sessions)


async def overrides(client: httpx2.AsyncClient, shop_id: UUID, query: str = "") -> list[Json]:
    answer = await client.get(f"/shop/{shop_id}/overrides{query}")
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def test_a_shop_sets_its_own_and_takes_it_back_with_null(
    barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    product, option = f"/shop/{shop_id}/product/{latte.id}", f"/shop/{shop_id}/option/{latte.oat}"

    priced = (await barista.patch(product, json={"price": "270", "stock": 12})).json()
    kept = (await barista.patch(product, json={"is_sold": False})).json()
    free = (await barista.patch(option, json={"price_delta": "0"})).json()

    told = {"kind": "product", "id": str(latte.id), "name": "Латте", "price": "270.00", "price_delta": None}
    assert priced == told | {"is_sold": True, "stock": 12, "updated_at": priced["updated_at"]}
    assert kept == priced | {"is_sold": False, "updated_at": kept["updated_at"]}
    assert (free["kind"], free["price_delta"], free["price"], free["stock"]) == ("option", "0.00", None, None)
    assert await overrides(barista, shop_id) == [kept, free]
    assert await overrides(barista, shop_id, "?kind=option") == [free]
    assert await overrides(barista, shop_id, "?price__gte=200&sort=-price") == [kept]

    await barista.patch(product, json={"price": None, "is_sold": True, "stock": None})
    await barista.patch(option, json={"price_delta": None})

    assert await overrides(barista, shop_id) == []


async def test_two_shops_have_their_own(
    barista: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, latte: Latte, sessions: Sessions
) -> None:
    other = await make_shop(sessions, slug="far")
    path = f"/shop/{other}/product/{latte.id}"

    refused = await barista.patch(path, json={"price": "1.00"})
    # Who edits the chain's menu edits it at every shop.
    taken = await manager.patch(path, json={"price": "300.00"})

    assert (refused.status_code, taken.status_code) == (403, 200)
    assert (await barista.get(f"/shop/{other}/overrides")).status_code == 403
    assert await overrides(barista, shop_id) == []
    assert [each["price"] for each in await overrides(manager, other)] == ["300.00"]


async def test_what_is_not_there_has_nothing_of_its_own(admin: httpx2.AsyncClient, shop_id: UUID, latte: Latte) -> None:
    unknown = [
        f"/shop/{shop_id}/product/{uuid4()}",
        f"/shop/{shop_id}/option/{uuid4()}",
        f"/shop/{uuid4()}/product/{latte.id}",
        f"/shop/{uuid4()}/option/{latte.oat}",
    ]

    assert [(await admin.patch(path, json={"is_sold": False})).status_code for path in unknown] == [404] * 4
    assert (await admin.get(f"/shop/{uuid4()}/overrides")).status_code == 404


@pytest.mark.parametrize("body", [{"price": "-1"}, {"stock": -1}, {"stock": 1.5}, {"is_sold": None}, {"prize": "1"}])
async def test_what_no_shop_can_have_is_refused(
    barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte, body: Json
) -> None:
    answer = await barista.patch(f"/shop/{shop_id}/product/{latte.id}", json=body)

    assert answer.status_code == 422, answer.text


async def test_an_option_may_be_cheaper_than_nothing(barista: httpx2.AsyncClient, shop_id: UUID, latte: Latte) -> None:
    answer = await barista.patch(f"/shop/{shop_id}/option/{latte.cow}", json={"price_delta": "-20"})

    assert answer.json()["price_delta"] == "-20.00"


async def test_a_deleted_product_is_nobodys_own(
    barista: httpx2.AsyncClient, manager: httpx2.AsyncClient, shop_id: UUID, latte: Latte
) -> None:
    await barista.patch(f"/shop/{shop_id}/product/{latte.id}", json={"stock": 3})

    await manager.delete(f"/product/{latte.id}")

    assert await overrides(barista, shop_id) == []
    assert (await barista.patch(f"/shop/{shop_id}/product/{latte.id}", json={"stock": 4})).status_code == 404
