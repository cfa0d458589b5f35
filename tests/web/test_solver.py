"""Our solver answers as FastAPI's own does; what it doesn't do is refused at the start."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Cookie, Depends, Form, Header, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from crema.core.errors import ConflictError
from crema.db.session import Sessions
from crema.schemas import Input, Line
from crema.settings import Settings
from crema.web.routing import BODY_LIMIT, Handler, Route, add_routes, check_parameters, make_router
from crema.web.transaction import transaction
from fixtures.app import Clock, connect, make_app

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}
WHOSE = ("theirs", "ours")
ID = "01a2074f-26f7-7216-8892-26d298d63ed0"


class Wish(Input):
    """What is sent to the routes of these tests."""

    name: Line
    number: int = 1


async def shout(request: Request, *, loud: Annotated[bool, Query()] = False) -> str:
    return "!" if loud and request.method == "POST" else "."


Shout = Annotated[str, Depends(shout)]
Key = Annotated[str | None, Header(max_length=5)]


class Granted(BaseModel):
    """What they answer with; `secret` is not declared."""

    id: UUID
    name: str
    number: int
    key: str | None


@dataclass
class Grant:
    """A row, which knows more than is shown."""

    id: UUID
    name: str
    number: int
    key: str | None
    secret: str = "unseen"


async def note(response: Response, size: Annotated[int, Query(ge=1, alias="how-many")] = 1) -> int:
    response.headers["Size"] = str(size)
    return size


async def grant(
    wish_id: UUID,
    wish: Wish,
    mark: Shout,
    size: Annotated[int, Depends(note)],
    key: Key = None,
    day: Annotated[date | None, Query()] = None,
    unit: Annotated[Literal["cup", "bag"], Query()] = "cup",
) -> Granted:
    return cast("Granted", Grant(wish_id, f"{wish.name}{mark}{size}{day}{unit}", wish.number, key))


class FastApiRoute(Route):
    """Runs by FastAPI's own solver."""

    def get_route_handler(self) -> Handler:
        super().get_route_handler()
        handle = APIRoute.get_route_handler(self)

        async def checked(request: Request) -> Response:
            check_parameters(request, self.plan.query_names)
            return await handle(request)

        return checked


@pytest.fixture
async def client(settings: Settings, sessions: Sessions, clock: Clock) -> AsyncIterator[httpx2.AsyncClient]:
    app = make_app(settings, sessions, clock)
    theirs, ours = APIRouter(route_class=FastApiRoute), make_router("Test")
    theirs.post("/theirs/{wish_id}", status_code=201)(grant)
    ours.post("/ours/{wish_id}", status_code=201)(grant)
    add_routes(app, [theirs, ours])
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
        (f"{ID}?how-many=3&day=2026-11-23&unit=bag", b'{"name": "a"}', JSON),
        (f"{ID}?how-many=0&day=never&unit=", b'{"name": ""}', JSON | {"Key": "longer"}),
        ("nobody?how-many=x", b'{"name": "a", "more": 1}', JSON),
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
    theirs, ours = [await client.post(f"/{which}/{path}", content=body, headers=headers) for which in WHOSE]

    expected, found = theirs.json(), ours.json()
    expected.pop("request_id", None)
    found.pop("request_id", None)
    assert (ours.status_code, found) == (theirs.status_code, expected)
    assert without_marks(ours.headers) == without_marks(theirs.headers)


def without_marks(headers: httpx2.Headers) -> dict[str, str]:
    """Leave out what names one request."""
    return {name: value for name, value in headers.items() if name != "x-request-id"}


async def test_a_body_that_grows_over_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_LIMIT // 1024 + 1):
            yield b" " * 1024

    response = await client.post(f"/ours/{ID}", content=chunks(), headers=JSON)

    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_another_method_is_not_allowed(client: httpx2.AsyncClient) -> None:
    response = await client.get(f"/ours/{ID}")

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
    router = make_router("Test")
    router.post("/act")(act)
    add_routes(app, [router])
    async with connect(app) as client:
        assert (await client.post("/act")).status_code == 200
        assert (await client.post("/act?refuse=true")).status_code == 409

    assert seen == ["enter", "leave", "answer", "enter", "refused"]


async def test_dependency_overrides_are_obeyed_with_parameters_of_their_own(
    settings: Settings, sessions: Sessions, clock: Clock
) -> None:
    async def original() -> str:
        return "original"

    async def another(word: str = "another") -> str:
        return word

    async def act(found: Annotated[str, Depends(original)]) -> dict[str, str]:
        return {"found": found}

    app = make_app(settings, sessions, clock)
    router = make_router("Test")
    router.get("/act")(act)
    add_routes(app, [router])
    async with connect(app) as client:
        before = (await client.get("/act")).json()
        app.dependency_overrides[original] = another
        during = [(await client.get(path)).json() for path in ("/act", "/act?word=third")]
        app.dependency_overrides.clear()
        after = (await client.get("/act")).json()

    assert [before, *during, after] == [{"found": each} for each in ("original", "another", "third", "original")]


def needs_a_thread() -> None:
    """FastAPI calls it in one."""


class NeedsAThread:
    """So are classes called."""


async def ends_after_the_reply() -> AsyncIterator[None]:
    yield


async def takes_background_tasks(tasks: BackgroundTasks) -> None:
    """They run after the reply."""


async def takes_a_cookie(key: Annotated[str, Cookie()]) -> None:
    """Cookies are `web.cookies.Cookies`'s."""


async def takes_a_form(key: Annotated[str, Form()]) -> None:
    """Forms are `web.forms`'s."""


async def takes_several_values(key: Annotated[list[str], Query()]) -> None:
    """Lists are `db.listing`'s."""


async def takes_a_word_as_body(key: Annotated[str, Body()]) -> None:
    """A body is a model."""


async def takes_anything(*keys: str, **named: str) -> None:
    """FastAPI asks the request for `keys` and `named`."""


@pytest.mark.parametrize(
    "depends",
    [
        *map(
            Depends,
            (
                needs_a_thread,
                NeedsAThread,
                ends_after_the_reply,
                transaction,
                takes_background_tasks,
                takes_a_cookie,
                takes_a_form,
                takes_several_values,
                takes_a_word_as_body,
                takes_anything,
            ),
        ),
        Depends(note, use_cache=False),
        Depends(),
    ],
    ids=lambda depends: f"{getattr(depends.dependency, '__name__', None)}-{depends.use_cache}",
)
def test_what_would_mean_something_else_here_is_refused_when_it_is_declared(depends: Any) -> None:
    async def act(_: Any = depends) -> Response:
        return Response()

    with pytest.raises(TypeError):
        make_router("Test").get("/act")(act)


def test_two_bodies_are_refused_when_they_are_declared() -> None:
    async def act(wish: Wish, other: Wish) -> Response:
        return Response()

    with pytest.raises(TypeError, match="several bodies"):
        make_router("Test").post("/act")(act)
