"""Routes that run past FastAPI's solver answer as those that don't; what they can't do is refused at the start."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response

from crema.core.errors import ConflictError
from crema.db.session import Sessions
from crema.schemas import Input, Line
from crema.settings import Settings
from crema.web.direct import Shortcut, direct
from crema.web.listing import document
from crema.web.routing import BODY_LIMIT, router
from fixtures.app import Clock, connect, make_app

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}
ID = "01a2074f-26f7-7216-8892-26d298d63ed0"


class Wish(Input):
    """What is sent to the routes of these tests."""

    name: Line
    number: int = 1


async def shout(request: Request, *, loud: Annotated[bool, Query()] = False) -> str:
    return "!" if loud and request.method == "POST" else "."


Shout = Annotated[str, Depends(shout)]
Key = Annotated[str | None, Header(max_length=5)]


async def grant(wish_id: UUID, wish: Wish, mark: Shout, key: Key = None) -> Response:
    return document(f'{{"id":"{wish_id}","name":"{wish.name}{mark}","number":{wish.number},"key":"{key}"}}')


def add(app: FastAPI, made: APIRouter, path: str, endpoint: Callable[..., Any]) -> None:
    made.post(path, status_code=201, response_model=Wish)(endpoint)
    app.include_router(made)
    app.router.middleware_stack = Shortcut(app.router.middleware_stack, [made])


@pytest.fixture
async def client(settings: Settings, sessions: Sessions, clock: Clock) -> AsyncIterator[httpx2.AsyncClient]:
    app = make_app(settings, sessions, clock)
    add(app, router("Test"), "/slow/{wish_id}", grant)
    add(app, direct("Test"), "/fast/{wish_id}", grant)
    async with connect(app) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (ID, b'{"name": "a"}', JSON),
        (ID, b'{"name": "a", "number": 7}', JSON | {"Key": "k"}),
        (f"{ID}/", b'{"name": "a"}', JSON),
        (f"{ID}?loud=true", b'{"name": "a"}', {"Content-Type": "application/vnd.x+json; charset=utf-8"}),
        (ID, b'{"name": "a"}', JSON | {"Key": "longer"}),
        (f"{ID}?loud=perhaps", b'{"name": "a"}', JSON),
        (f"{ID}?unknown=1", b'{"name": "a"}', JSON),
        (f"{ID}?loud=1&loud=0", b'{"name": "a"}', JSON),
        ("nobody", b'{"name": "a"}', JSON),
        (ID, b'{"name": "a", "more": 1}', JSON),
        (ID, b'{"name": ""}', JSON),
        (ID, b"[]", JSON),
        (ID, b"null", JSON),
        (ID, b"", JSON),
        (ID, b"{", JSON),
        (ID, b'{"name": "\xff"}', JSON),
        (ID, b"[" * 20_000, JSON),
        (ID, b'{"name": "a"}', {"Content-Type": "text/plain"}),
        (ID, b'{"name": "a"}', {}),
        (ID, b" " * (BODY_LIMIT + 1), JSON),
    ],
)
async def test_it_answers_as_fastapi_does(
    client: httpx2.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    slow, fast = [await client.post(f"/{where}/{path}", content=body, headers=headers) for where in ("slow", "fast")]

    expected, found = slow.json(), fast.json()
    expected.pop("request_id", None)
    found.pop("request_id", None)
    assert fast.status_code == (200 if slow.is_success else slow.status_code)
    assert found == expected


async def test_a_body_that_grows_over_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_LIMIT // 1024 + 1):
            yield b" " * 1024

    response = await client.post(f"/fast/{ID}", content=chunks(), headers=JSON)

    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_another_method_is_not_allowed(client: httpx2.AsyncClient) -> None:
    response = await client.get(f"/fast/{ID}")

    assert response.status_code == 405


async def test_what_was_entered_is_left_before_the_answer_and_told_of_a_refusal(
    settings: Settings, sessions: Sessions, clock: Clock
) -> None:
    seen: list[str] = []

    async def shared() -> AsyncIterator[str]:
        seen.append("enter")
        try:
            yield "kept"
        except ConflictError:
            seen.append("refused")
            raise
        seen.append("leave")

    once = Depends(shared, scope="function")

    async def again(kept: str = once) -> str:
        return kept

    async def act(refuse: bool = False, kept: str = once, same: str = Depends(again)) -> Response:  # noqa: FBT001, FBT002
        assert kept == same
        if refuse:
            raise ConflictError
        return Seen(b"{}")

    class Seen(Response):
        async def __call__(self, *given: Any) -> None:
            seen.append("answer")
            await super().__call__(*given)

    app = make_app(settings, sessions, clock)
    add(app, direct("Test"), "/act", act)
    async with connect(app) as client:
        assert (await client.post("/act")).status_code == 200
        assert (await client.post("/act?refuse=true")).status_code == 409

    assert seen == ["enter", "leave", "answer", "enter", "refused"]


def plain() -> None:
    """A thread would be needed."""


async def wants_response(response: Response) -> None:
    """An answer that the route doesn't make itself."""


async def wants_header(key: Annotated[str, Header()]) -> None:
    """A header whose absence FastAPI would tell of."""


@pytest.mark.parametrize("needed", [plain, wants_response, wants_header])
def test_a_tree_that_needs_more_is_refused_when_it_is_declared(needed: Callable[..., Any]) -> None:
    async def act(_: Any = Depends(needed)) -> Response:
        return Response()

    with pytest.raises(TypeError):
        direct("Test").get("/act")(act)
