"""Bodies are counted, not believed."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from crema.web.routing import BODY_LIMIT

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024 + 1):
        yield b" " * 1024


async def test_refuses_a_body_over_the_limit(client: httpx2.AsyncClient) -> None:
    response = await client.post("/registration", content=b" " * (BODY_LIMIT + 1), headers=JSON)

    assert response.status_code == 413
    assert response.json()["code"] == "too_large"


async def test_refuses_a_chunked_body_that_grows_over_the_limit(client: httpx2.AsyncClient) -> None:
    response = await client.post("/registration", content=chunks(BODY_LIMIT), headers=JSON)

    assert response.status_code == 413


async def test_a_body_at_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    body = b'{"email": "x"' + b" " * (BODY_LIMIT - 14) + b"}"

    response = await client.post("/registration", content=body, headers=JSON)

    assert len(body) == BODY_LIMIT
    assert response.status_code == 422


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_json_under_another_name_is_refused(client: httpx2.AsyncClient, content_type: str | None) -> None:
    response = await client.post(
        "/registration",
        content=b'{"email": "a@example.com", "password": "longenough"}',
        headers={"Content-Type": content_type} if content_type else {},
    )

    assert response.status_code == 422
