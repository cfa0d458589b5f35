"""The bodies that the OpenAPI document shows are sent to a fresh demo chain as they stand."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from crema.db.session import Sessions
from crema.demo.chain import load
from crema.demo.examples import CUSTOMER
from factories.pictures import png
from factories.workbooks import XLSX, make_workbook
from fixtures.app import connect
from fixtures.openapi import METHODS, wrong_headers

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]

STAFF = "admin@crema.example.com"
BY_CUSTOMER = {
    "changePassword", "changeUser", "replaceUser", "logOut", "addToCart", "changeItem", "chooseShop", "placeOrder",
    "replaceOrder", "cancelOrder", "openChat", "sendMessage", "readMessages",
}  # fmt: skip
BY_NOBODY = {"logInWithForm", "authenticate", "authenticateWithCookies", "register", "resendCode", "forgotPassword"}
LEFT_OUT = {
    "verify": "needs the code of a mail",
    "verifyAndLogIn": "needs the code of a mail",
    "verifyAndLogInWithCookies": "needs the code of a mail",
    "resetPassword": "needs the code of a mail",
    "refresh": "needs the refresh token of a login",
    "advanceOrders": "names orders, which everybody places for themselves",
}
FILES = {
    "addImage": ("latte.png", png(), "image/png"),
    "setCategoryImage": ("latte.png", png(), "image/png"),
    "uploadAttachment": ("receipt.pdf", b"%PDF-1.7\n", "application/pdf"),
    "importMenu": ("menu.xlsx", make_workbook({"ingredients": [("name",), ("Фундучное молоко",)]}), XLSX),
}
"""No example can show a file: these are sent."""


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            for media_type, content in item.get(method, {}).get("requestBody", {}).get("content", {}).items():
                yield method, path, item[method], media_type, content


@pytest.fixture
async def tokens(demo: httpx2.AsyncClient) -> dict[str, str]:
    """Who is logged in at the demo chain, which is as it was seeded."""
    tokens = {}
    for email in (CUSTOMER, STAFF):
        login = await demo.post("/authentication", json={"email": email, "password": load().demo_password})
        tokens[email] = login.json()["access_token"]
    return tokens


async def made(client: httpx2.AsyncClient, method: str, path: str, **how: Any) -> dict[str, Any]:
    response = await client.request(method, path, **how)
    assert response.status_code < 300, response.text
    body: dict[str, Any] = response.json()
    return body


async def surroundings(app: FastAPI, tokens: dict[str, str], shown: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Make what paths speak of and the demo chain hasn't: by the examples of those who make it."""
    async with connect(app, tokens[CUSTOMER]) as customer, connect(app, tokens[STAFF]) as staff:
        cart = await made(customer, "POST", "/cart", json=shown["addToCart"])
        order = await made(customer, "POST", "/order", json=shown["placeOrder"])
        accepted = await made(customer, "POST", "/order", json=shown["placeOrder"])
        await made(staff, "PATCH", f"/order/{accepted['id']}", json=shown["changeOrder"])
        chat = await made(customer, "POST", "/chat", json=shown["openChat"])
        await made(customer, "POST", f"/chat/{chat['id']}/messages", json={"text": "Ау"})
        role = await made(staff, "POST", "/role", json={"name": "cleaner"})
        files = {"file": FILES["addImage"]}
        product = shown["addToCart"]["product_id"]
        image = await made(staff, "POST", f"/product/{product}/images", files=files)
    ids = {
        "item_id": cart["items"][0]["id"],
        "order_id": order["id"],
        "conversation_id": chat["id"],
        "role_id": role["id"],
        "image_id": image["id"],
    }
    return {"": ids, "markLine": {"order_id": accepted["id"], "line_id": accepted["lines"][0]["id"]}}


def first(document: dict[str, Any], content: dict[str, Any]) -> Any:
    """Give the example that Swagger fills in."""
    if "examples" in content:
        return next(iter(content["examples"].values()))["value"]
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema["examples"][0]


async def test_every_body_has_an_example_that_the_demo_chain_takes(
    app: FastAPI, tokens: dict[str, str], sessions: Sessions
) -> None:
    document = app.openapi()
    connection: AsyncConnection = sessions.kw["bind"]
    found = [*bodies(document)]
    shown = {
        operation["operationId"]: first(document, content)
        for _, _, operation, media_type, content in found
        if media_type != "multipart/form-data"
    }
    ids = await surroundings(app, tokens, shown)
    refused = {}

    for method, path, operation, media_type, content in found:
        name = operation["operationId"]
        if name in LEFT_OUT:
            assert first(document, content)
            continue
        examples = {each["name"]: each["example"] for each in operation.get("parameters", ()) if "example" in each}
        filled = path.format(**examples | ids[""] | ids.get(name, {}))
        how: dict[str, Any] = {"json": first(document, content)} if media_type == "application/json" else (
            {"files": {"file": FILES[name]}} if media_type == "multipart/form-data" else
            {"data": first(document, content)}
        )  # fmt: skip
        savepoint = await connection.begin_nested()
        token = None if name in BY_NOBODY else tokens[CUSTOMER if name in BY_CUSTOMER else STAFF]
        async with connect(app, token) as client:
            if path.endswith("/cookie"):
                csrf = (await client.get("/csrf")).json()["csrf_token"]
                client.headers.update({"X-CSRF-Token": csrf, "Origin": "http://crema"})
            answer = await client.request(method, filled, **how)
        if answer.status_code >= 300:
            refused[name] = answer.text
        elif wrong := wrong_headers(document, operation, answer):
            refused[name] = ", ".join(wrong)
        await savepoint.rollback()

    assert refused == {}
    assert len(found) > 50


async def test_what_is_left_out_is_there_and_has_its_reason(app: FastAPI) -> None:
    names = {operation["operationId"] for _, _, operation, _, _ in bodies(app.openapi())}

    assert names >= BY_CUSTOMER | BY_NOBODY | {*LEFT_OUT} | {*FILES}


async def test_the_page_tells_who_may_log_in_and_where_their_mails_are(
    client: httpx2.AsyncClient, tokens: dict[str, str]
) -> None:
    described = (await client.get("/openapi.json")).json()["info"]["description"]

    assert load().demo_password in described
    assert all(account.email in described and account.role in described for account in load().accounts)
    assert "(/mailbox)" in described
    assert "(/mailbox.json)" in described


async def test_a_shop_of_the_demo_chain_has_special_days(app: FastAPI, tokens: dict[str, str]) -> None:
    """It is November 2026."""
    async with connect(app, tokens[STAFF]) as client:
        found = (await client.get("/shops", params={"special_days__isnull": "false"})).json()["items"]

    (shop,) = found
    assert [(day["date"], day["is_closed"], day["takes_orders_ahead"]) for day in shop["special_days"]] == [
        ("2026-12-31", False, False),
        ("2027-01-01", True, True),
    ]


async def test_mails_can_be_had_as_json(client: httpx2.AsyncClient) -> None:
    made = await client.post("/registration", json={"email": "maria@example.com", "password": "flat white please"})
    mails = (await client.get("/mailbox.json")).json()["items"]

    assert made.status_code == 201
    assert mails[0]["recipient"] == "maria@example.com"
    assert re.search(r"\b\d{6}\b", mails[0]["text"])
    assert mails[0].keys() == {"recipient", "status", "created_at", "subject", "text"}
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{6}Z", mails[0]["created_at"]), "as wide as all instants"
