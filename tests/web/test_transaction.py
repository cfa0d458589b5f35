import httpx2
import pytest

pytestmark = pytest.mark.anyio


async def test_unknown_path_is_a_problem(client: httpx2.AsyncClient) -> None:
    response = await client.get("/nothing/")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"
    assert response.json()["request_id"] == response.headers["x-request-id"]
