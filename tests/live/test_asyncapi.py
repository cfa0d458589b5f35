"""The AsyncAPI document, against what really goes over the sockets."""

import json
from typing import Any
from uuid import uuid4

import httpx2
import jsonschema_rs
import pytest
from fastapi import FastAPI

from crema.web.docs import Documents
from crema.web.state import state_of
from factories.orders import make_shop, make_simple_product, place
from fixtures.live import Socket, Town, chatting, open_socket
from fixtures.server import http_client

pytestmark = pytest.mark.anyio


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    asyncapi: dict[str, Any] = state_of(app, Documents).asyncapi().content
    return asyncapi


def frames_of(document: dict[str, Any], channel: str, action: str) -> dict[str, dict[str, Any]]:
    """The schema of each type of frame, following the document's references as a code generator would."""
    found = {}
    for reference in document["operations"][f"{channel}.{action}"]["messages"]:
        message = resolve(document, resolve(document, reference))
        found[message["name"]] = message["payload"] | {"components": document["components"]}
    return found


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    for part in node["$ref"].removeprefix("#/").split("/"):
        document = document[part]
    return document


def check(schemas: dict[str, dict[str, Any]], frames: list[dict[str, Any]]) -> set[str]:
    for frame in frames:
        jsonschema_rs.validate(schemas[frame["type"]], frame)
    return {frame["type"] for frame in frames}


async def test_what_is_said_in_a_chat_is_what_the_document_says(town: Town, document: dict[str, Any]) -> None:
    anna, support = await town.person(name="Анна"), await town.person("support")
    said: list[dict[str, Any]] = []

    async def say(socket: Socket, type_: str, **fields: Any) -> None:
        said.append({"type": type_} | fields)
        await socket.send(type_, **fields)

    url, headers = town.servers[1].url, {"Authorization": f"Bearer {support.token}"}
    async with open_socket(town.servers[0], "/chat") as customer, http_client(base_url=url) as client:
        await say(customer, "auth", token=anna.token)
        chat = (await customer.expect("ready"))["conversation"]["id"]
        files = {"file": ("a.pdf", b"%PDF-1.7", "application/pdf")}
        uploaded = await client.post(f"/chat/{chat}/attachments", files=files, headers=headers)
        async with chatting(town.servers[1], support, chat) as staff:
            await say(customer, "message", client_id="1", text="Где?")
            await staff.expect("message")
            await say(staff, "typing")
            await say(staff, "read", seq=1)
            await say(staff, "message", client_id="2", attachment_id=uploaded.json()["id"])
            await client.post(f"/chat/{chat}/notes", json={"text": "ждёт"}, headers=headers)
            await staff.expect("note")
            await client.patch(f"/chat/{chat}", json={"status": "pending"}, headers=headers)
            await say(staff, "ping")
            await staff.expect("pong")
            await customer.expect("conversation")
        await customer.expect("presence", online=False)
        await customer.send("nonsense")
        await customer.expect("error")

    heard = check(frames_of(document, "chat", "send"), [*customer.seen, *staff.seen])
    assert heard == set(frames_of(document, "chat", "send"))
    assert check(frames_of(document, "chat", "receive"), said) == set(frames_of(document, "chat", "receive"))


async def test_what_is_said_in_the_queue_is_what_the_document_says(town: Town, document: dict[str, Any]) -> None:
    shop_id, other_id = [await make_shop(town.sessions, slug=uuid4().hex[:8]) for _ in range(2)]
    anna, manager = await town.person(name="Анна"), await town.person("manager", shop_ids=(shop_id,))
    boris = await town.person(name="Борис")
    said: list[dict[str, Any]] = []

    async def say(socket: Socket, type_: str, **fields: Any) -> None:
        said.append({"type": type_} | fields)
        await socket.send(type_, **fields)

    url, headers = town.servers[1].url, {"Authorization": f"Bearer {anna.token}"}
    async with http_client(base_url=url, headers=headers) as client:
        opened = await client.post("/chat", json={"shop_id": str(shop_id)})
        chat = opened.json()["id"]
        async with open_socket(town.servers[0], "/chats/live") as queue:
            await say(queue, "auth", token=manager.token)
            await queue.expect("snapshot")
            async with chatting(town.servers[1], anna) as customer:
                await queue.expect("presence", online=True)
                await customer.send("typing")
                await queue.expect("typing")
            await say(queue, "typing", conversation_id=chat)
            await say(queue, "message", conversation_id=chat, client_id="1", text="Готов.")
            await queue.expect("ack")
            await queue.expect("message")
            await say(queue, "read", conversation_id=chat, seq=1)
            await say(queue, "ping")
            await queue.expect("pong")
            await queue.send("nonsense")
            await queue.expect("error")
            async with http_client(base_url=url, headers={"Authorization": f"Bearer {boris.token}"}) as his:
                his_chat = (await his.post("/chat", json={"shop_id": str(shop_id)})).json()["id"]
                await queue.expect("conversation", id=his_chat, shop_id=str(shop_id), status="open")
                await his.post("/chat", json={"shop_id": str(other_id)})
            await queue.expect("removed")

    heard = check(frames_of(document, "chats", "send"), queue.seen)
    assert heard == set(frames_of(document, "chats", "send"))
    assert check(frames_of(document, "chats", "receive"), said) == set(frames_of(document, "chats", "receive"))


async def test_what_is_told_of_orders_is_what_the_document_says(town: Town, document: dict[str, Any]) -> None:
    anna = await town.person()
    shop_id, product_id = await make_shop(town.sessions, slug=uuid4().hex[:8]), await make_simple_product(town.sessions)

    async with open_socket(town.servers[0], "/orders/live", anna) as socket:
        await socket.expect("snapshot")
        headers = {"Authorization": f"Bearer {anna.token}"}
        async with http_client(base_url=town.servers[0].url, headers=headers) as client:
            await place(client, product_id, shop_id=str(shop_id))
        await socket.expect("order")
        await socket.send("ping")
        await socket.expect("pong")
        await socket.send("nonsense")
        await socket.expect("error")

    told = frames_of(document, "orders", "send")
    assert check(told, socket.seen) == set(told)


async def test_it_is_served_whole_and_every_reference_leads_somewhere(
    client: httpx2.AsyncClient, document: dict[str, Any]
) -> None:
    served = (await client.get("/asyncapi.json")).json()
    text = json.dumps(served)

    assert served == document
    assert served["asyncapi"] == "3.1.0"
    assert {channel["address"] for channel in served["channels"].values()} == {
        "/chat",
        "/chat/{conversation_id}",
        "/chats/live",
        "/orders/live",
    }
    references = {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        assert resolve(served, {"$ref": reference})


async def test_every_socket_says_how_to_log_in(client: httpx2.AsyncClient) -> None:
    served = (await client.get("/asyncapi.json")).json()
    schemes = served["components"]["securitySchemes"]

    assert {scheme["type"] for scheme in schemes.values()} == {"http", "httpApiKey"}
    for name, operation in served["operations"].items():
        named = [each["$ref"].rpartition("/")[2] for each in operation["security"]]
        assert named == [*schemes], name
