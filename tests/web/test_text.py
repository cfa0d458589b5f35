"""Text that people are to see: names of nothing, second lines, and characters that turn the text around them."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import Field, TypeAdapter, ValidationError

from crema.schemas import Input

pytestmark = pytest.mark.anyio

UNSEEN = ["\u200b", " \u200b\u00a0", "\u2060\ufeff", "\u3164", "\u2800", "\u0301", "\U000e0041", "\u00ad"]
TURNING = [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]
SEVERAL_LINES = {"description", "comment", "text"}
NOT_TEXT = {
    "password", "old_password", "new_password", "current_password",  # compared, never shown
    "refresh_token", "registration_id", "token", "ticket", "client_secret", "client_id",  # compared or ignored
    "scope", "after",
}  # fmt: skip


def inputs(kind: type[Input] = Input) -> Iterator[type[Input]]:
    for each in kind.__subclasses__():
        yield each
        yield from inputs(each)


def strings_of(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return strings_of(get_args(annotation)[0])
    return annotation is str or any(strings_of(each) for each in get_args(annotation) if get_origin(annotation))


def text_fields() -> list[tuple[str, Any]]:
    return sorted(
        {
            f"{model.__module__}.{model.__name__}.{name}": Annotated[field.annotation, Field(), *field.metadata]
            for model in inputs()
            if model.__module__.startswith("crema.")
            for name, field in model.model_fields.items()
            if strings_of(field.annotation) and name not in NOT_TEXT
        }.items()
    )


def takes(kind: Any, value: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def test_u6_every_text_field_refuses_what_turns_text(built_app: FastAPI) -> None:
    del built_app  # has imported them all
    fields = text_fields()
    one_line = [(name, kind) for name, kind in fields if name.rpartition(".")[2] not in SEVERAL_LINES]

    assert len(one_line) > 20
    for name, kind in one_line:
        for character in [*TURNING, "\n", "\x00", "\x1b", "\x85", "\u2028"]:
            assert not takes(kind, f"a{character}b"), (name, character)


def test_no_text_field_takes_what_can_t_be_stored(built_app: FastAPI) -> None:
    del built_app
    for name, kind in text_fields():
        for character in ("\x00", "\ud800", "\x1b", "\x9b"):
            assert not takes(kind, f"a{character}b"), (name, character)


@pytest.mark.parametrize("name", UNSEEN, ids=ascii)
async def test_u6_a_name_that_nobody_can_see(admin: httpx2.AsyncClient, name: str) -> None:
    shop = {"name": name, "address": "Арбат, 10", "timezone": "Europe/Moscow"}
    refused = {
        "/registration": {"email": "new@example.com", "password": "oat milk please", "name": name},
        "/role": {"name": name, "permissions": []},
        "/category": {"name": name},
        "/product": {"name": name, "price": "100"},
        "/ingredients": {"name": name},
        "/modifier-group": {"name": name},
        "/shop": shop,
    }
    for path, body in refused.items():
        answer = await admin.post(path, json=body)
        assert answer.status_code == 422, (path, answer.text)
        assert answer.json()["errors"][0]["loc"] == ["body", "name"]

    sized = await admin.post("/product", json={"name": "Латте", "price": "100", "sizes": [{"name": name}]})
    assert sized.status_code == 422
    placed = await admin.post("/shop", json=shop | {"name": "Арбат", "address": name})
    assert placed.json()["errors"][0]["loc"] == ["body", "address"]
    me = (await admin.get("/me")).json()
    assert (await admin.patch(f"/user/{me['id']}", json={"name": name})).status_code == 422


@pytest.mark.parametrize("text", UNSEEN, ids=ascii)
async def test_u6_a_message_that_nobody_can_see(admin: httpx2.AsyncClient, text: str) -> None:
    conversation = (await admin.post("/chat", json={})).json()

    said = await admin.post(f"/chat/{conversation['id']}/messages", json={"text": text})
    noted = await admin.post(f"/chat/{conversation['id']}/notes", json={"text": text})

    assert (said.status_code, noted.status_code) == (422, 422)


async def test_u6_a_name_that_turns_the_text_around_it(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/registration", json={"email": "a@example.com", "password": "oat milk please", "name": "Анна\u202egpj.exe"}
    )

    assert answer.status_code == 422
    assert "direction" in answer.json()["errors"][0]["msg"]


async def test_emoji_and_every_script_are_names(admin: httpx2.AsyncClient) -> None:
    for name in ("👩\u200d🚀", "Ann\u00adMarie", "می\u200cخواهم", "נועה", "❤\ufe0f", "·"):
        assert (await admin.post("/category", json={"name": name})).status_code == 201, name
