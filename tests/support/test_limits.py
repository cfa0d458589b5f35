"""How fast and how much one may write over HTTP."""

import httpx2
import pytest

from crema.support.service import limits
from fixtures.app import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def chat(customer: httpx2.AsyncClient) -> str:
    chat_id: str = (await customer.post("/chat")).json()["id"]
    return f"/chat/{chat_id}"


async def test_w5_the_sixth_request_of_a_second_is_refused_and_the_next_second_s_is_taken(
    customer: httpx2.AsyncClient, chat: str, clock: Clock
) -> None:
    """Tried: REST chat without limit."""
    for number in range(4):
        assert (await customer.post(f"{chat}/messages", json={"text": str(number)})).status_code == 201
    assert (await customer.post(f"{chat}/read", json={"seq": 1})).status_code == 200

    for path, body in ((f"{chat}/messages", {"text": "6"}), (f"{chat}/read", {"seq": 2})):
        refused = await customer.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "1"
    assert (await customer.get(chat)).json()["last_seq"] == 4, "a refusal changes nothing"

    clock.advance(seconds=1)
    assert (await customer.post(f"{chat}/messages", json={"text": "6"})).status_code == 201


async def test_w5_a_day_s_texts_have_an_end_and_the_next_day_is_taken(
    customer: httpx2.AsyncClient,
    other_customer: httpx2.AsyncClient,
    chat: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tried: REST chat without a quota of space."""
    monkeypatch.setattr(limits, "BYTES_A_DAY", 1000)
    assert (await customer.post(f"{chat}/messages", json={"text": "x" * 600})).status_code == 201
    clock.advance(hours=1)

    refused = await customer.post(f"{chat}/messages", json={"text": "ы" * 250})
    small = await customer.post(f"{chat}/messages", json={"text": "x" * 391})
    theirs = (await other_customer.post("/chat")).json()["id"]
    other = await other_customer.post(f"/chat/{theirs}/messages", json={"text": "ы" * 250})

    assert (refused.status_code, refused.json()["code"]) == (429, "chat_quota_exceeded")
    assert refused.headers["retry-after"] == str(23 * 3600)
    assert (small.status_code, other.status_code) == (201, 201)
    clock.advance(hours=23)
    assert (await customer.post(f"{chat}/messages", json={"text": "ы" * 250})).status_code == 201


async def test_a_message_sent_again_costs_nothing(
    customer: httpx2.AsyncClient, chat: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BYTES_A_DAY", 100)
    body = {"text": "x" * 60, "client_id": "m1"}

    statuses = [(await customer.post(f"{chat}/messages", json=body)).status_code for _ in range(3)]

    assert statuses == [201, 200, 200]
