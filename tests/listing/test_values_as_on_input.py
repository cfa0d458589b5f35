"""Values of filters are read as the same fields are on input; what can't be read is refused, never an empty list."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import User
from fixtures.people import make_person

pytestmark = pytest.mark.anyio


async def found(client: httpx2.AsyncClient, query: str, *, key: str = "name") -> list[str]:
    """Ask for a list with a query string as it is typed, and name what comes."""
    answer = await client.get(query)
    assert answer.status_code == 200, answer.text
    return sorted(item[key] for item in answer.json()["items"])


async def refused(client: httpx2.AsyncClient, query: str) -> dict[str, Any]:
    answer = await client.get(query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_filter"), query
    [error] = answer.json()["errors"]
    problem: dict[str, Any] = error
    return problem


@pytest.fixture
async def people(app: FastAPI, session: AsyncSession, admin: httpx2.AsyncClient) -> httpx2.AsyncClient:
    for name, email, phone in (
        ("Анна", "Anna@example.com", "+79161234567"),
        ("Борис", "boris@пример.рф", "+79167654321"),
        ("Вера", "vera@example.com", "+442079460000"),
    ):
        made = await make_person(app, email=email, name=name)
        user = await session.get_one(User, made.id)
        user.phone = phone
    await session.commit()
    return admin


@pytest.mark.parametrize(
    "query",
    [
        "phone=+79161234567", "phone=%2B79161234567", "phone=89161234567", "phone=9161234567",
        "phone=8%20(916)%20123-45-67", "phone=+7 916 123 45 67", "phone=tel:%2B7-916-123-45-67",
        "phone__in=89161234567", "phone__in=+79161234567", "phone__in=+79161234567,+79160000000",
        "phone__in=89160000000,%20+79161234567", 'phone__in="8 916 123-45-67"',
        "phone__startswith=+791612", "phone__startswith=891612", "phone__startswith=%2B7%20(916)%2012",
        "phone__contains=123-45", "phone__endswith=45%2067", "phone__icontains=916 12",
    ],
)  # fmt: skip
async def test_a_telephone_as_people_write_it(people: httpx2.AsyncClient, query: str) -> None:
    assert await found(people, f"/users?{query}") == ["Анна"]


@pytest.mark.parametrize(
    "query",
    ["phone=anna", "phone=123", "phone=", "phone__ne=x", "phone__in=89161234567,x", "phone__contains=abc",
     "phone__startswith=", "phone__startswith=%2B"],
)  # fmt: skip
async def test_what_is_no_telephone_is_refused(people: httpx2.AsyncClient, query: str) -> None:
    assert (await refused(people, f"/users?{query}"))["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("email=anna@example.com", ["Анна"]),
        ("email=ANNA@EXAMPLE.COM", ["Анна"]),
        ("email__in=anna@Example.com,VERA@example.com", ["Анна", "Вера"]),
        ("email=boris@пример.рф", ["Борис"]),
        ("email=BORIS@ПРИМЕР.РФ", ["Борис"]),
        ("email=boris@xn--e1afmkfd.xn--p1ai", ["Борис"]),
        ("email=boris@XN--E1AFMKFD.XN--P1AI", ["Борис"]),
        ("email__endswith=@xn--e1afmkfd.xn--p1ai", ["Борис"]),
        ("email__contains=NNA@EX", ["Анна"]),
        ("email__startswith=anna", ["Анна"]),
        ("email__ne=ANNA@example.com&name__in=Анна,Борис,Вера", ["Борис", "Вера"]),
    ],
)
async def test_an_address_in_any_case_or_spelling(people: httpx2.AsyncClient, query: str, names: list[str]) -> None:
    assert await found(people, f"/users?{query}") == names


@pytest.mark.parametrize(
    "query",
    ["email=anna", "email=", "email__in=anna@example.com,", "email__contains=xn--", "email__contains=xn--99999999"],
)
async def test_what_is_no_address_is_refused(people: httpx2.AsyncClient, query: str) -> None:
    await refused(people, f"/users?{query}")


@pytest.fixture
async def menu(admin: httpx2.AsyncClient) -> httpx2.AsyncClient:
    for name, price in (("Сэндвич, сыр", "300"), ("Латте", "250"), ("сыр", "100"), ('Раф "Люкс"', "350")):
        answer = await admin.post("/product", json={"name": name, "price": price})
        assert answer.status_code == 201
    return admin


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('name__in="Сэндвич, сыр",Латте', ["Латте", "Сэндвич, сыр"]),
        ('name__in=Латте, "Сэндвич, сыр" ', ["Латте", "Сэндвич, сыр"]),
        ("name__in=Сэндвич, сыр", ["сыр"]),  # two items
        ("name__in= Латте , сыр ", ["Латте", "сыр"]),
        ('name__in="Раф ""Люкс"""', ['Раф "Люкс"']),
        ('name__not_in="Сэндвич, сыр",Латте', ['Раф "Люкс"', "сыр"]),
        ("name__in=Латте&name__in=сыр", ["Латте", "сыр"]),
        ('name__in="Сэндвич, сыр"&name__in=Латте,сыр', ["Латте", "Сэндвич, сыр", "сыр"]),
        ("price__between=100,250", ["Латте", "сыр"]),
        ("price__between=100&price__between=250", ["Латте", "сыр"]),
        ('price__in="100", 250', ["Латте", "сыр"]),
        ("name= Латте", ["Латте"]),
        ("search=сыр&search_fields=name&search_fields=description", ["Сэндвич, сыр", "сыр"]),
    ],
)
async def test_items_with_commas_and_repeated_parameters(
    menu: httpx2.AsyncClient, query: str, names: list[str]
) -> None:
    assert await found(menu, f"/products?{query}") == names


@pytest.mark.parametrize(
    "query",
    ['name__in="Сэндвич, сыр', 'name__in="Сэндвич" сыр', 'name__in=Раф "Люкс"', 'name__in="',
     'name__in="Сэндвич&name__in=сыр"', "name__in=Латте,", "name__in=", "name=", "price__between=1,2,3",
     "price__between=1&price__between=2&price__between=3", "price=1&price=2", "name=a&name=b", "page=1&page=2"],
)  # fmt: skip
async def test_malformed_lists_are_refused(menu: httpx2.AsyncClient, query: str) -> None:
    await refused(menu, f"/products?{query}")


async def test_sort_with_commas_or_repeated(menu: httpx2.AsyncClient) -> None:
    commas = (await menu.get("/products?sort=-price,name&size=2")).json()
    repeated = (await menu.get("/products?sort=-price&sort=name&size=2")).json()

    assert repeated == commas
    first = (await menu.get("/products?sort=-price&sort=name&size=2&cursor=")).json()
    assert [each["name"] for each in first["items"]] == ['Раф "Люкс"', "Сэндвич, сыр"]
    rest = await menu.get("/products", params=[("sort", "-price"), ("sort", "name"), ("cursor", first["next_cursor"])])
    assert [each["name"] for each in rest.json()["items"]] == ["Латте", "сыр"]
    await refused(menu, "/products?sort=price&sort=price")
    assert (await menu.get("/products?sort=price&sort=-price")).json()["code"] == "invalid_sort"


async def test_fifty_values_however_they_come(menu: httpx2.AsyncClient) -> None:
    fifty = [("name__in", f"x{number}") for number in range(49)] + [("name__in", "Латте")]
    assert (await menu.get("/products", params=fifty)).json()["total"] == 1

    answer = await menu.get("/products", params=[*fifty, ("name__in", "y")])
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/products", "slug=Latte"), ("/products", "slug=латте"), ("/products", "slug__contains=LA"),
        ("/products", "slug__icontains=ла"), ("/categories", "slug=Coffee"), ("/shops", "slug=a b"),
        ("/shops", "timezone=europe/moscow"), ("/shops", "timezone=Moscow"), ("/products", "name=a%E2%80%AEb"),
        ("/products", "name=%E2%80%8B"), ("/products", "id=x"), ("/products", "price=100,5"),
        ("/products", "price=1e2"), ("/products", "is_active=yes"), ("/products", "created_at=yesterday"),
        ("/products", "position=1.5"), ("/orders", "status=Placed"), ("/orders", "number=42"),
        ("/orders", "payment_status=PAID"), ("/permissions", "code=menu"), ("/permissions", "code=Menu:Write"),
        ("/roles", "name="), ("/users", "is_active=1"), ("/products", f"name={'x' * 121}"),
    ],
)  # fmt: skip
async def test_what_the_field_would_not_take_is_refused(admin: httpx2.AsyncClient, path: str, query: str) -> None:
    await refused(admin, f"{path}?{query}")


async def test_ids_slugs_and_numbers_in_other_spellings(menu: httpx2.AsyncClient) -> None:
    product = (await menu.get("/products?name=Латте")).json()["items"][0]
    id_ = product["id"]

    assert await found(menu, f"/products?id={id_.upper()}") == ["Латте"]
    assert await found(menu, f"/products?id__in= {id_.upper()} ") == ["Латте"]
    for spelling in (id_.replace("-", ""), f"{{{id_}}}", f"urn:uuid:{id_}"):
        await refused(menu, f"/products?id={spelling}")
    assert await found(menu, f"/products?slug__icontains={product['slug'].upper()}") == ["Латте"]
    for price in ("250", "250.0", "250.00"):
        assert await found(menu, f"/products?price={price}") == ["Латте"]
    assert (await menu.get("/orders?number=a-042")).json()["total"] == 0
