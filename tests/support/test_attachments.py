"""Attachments of the chat: what is taken, who may fetch it, and what becomes of uploads nobody sends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import select

from crema.db.session import Sessions
from crema.media.deps import MediaState
from crema.media.domain import MAX_BYTES
from crema.support.models import Attachment
from crema.support.service import attachments
from crema.web.state import state_of
from factories.menu import decode, encode
from factories.pictures import HEIC, png, swapped_profile
from fixtures.app import Clock
from fixtures.people import LogIn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("media_in_process")]

PDF = b"%PDF-1.7\n<script>alert(1)</script>\n%%EOF"


@pytest.fixture
async def support(log_in: LogIn) -> httpx2.AsyncClient:
    return await log_in("support@example.com", role="support")


@pytest.fixture
async def chat(customer: httpx2.AsyncClient) -> str:
    chat_id: str = (await customer.post("/chat")).json()["id"]
    return chat_id


async def upload(client: httpx2.AsyncClient, chat: str, content: bytes, name: str = "a.pdf") -> httpx2.Response:
    return await client.post(f"/chat/{chat}/attachments", files={"file": (name, content, "text/html")})


async def sent(client: httpx2.AsyncClient, chat: str, attachment: dict[str, Any], **fields: Any) -> httpx2.Response:
    return await client.post(f"/chat/{chat}/messages", json={"attachment_id": attachment["id"]} | fields)


async def test_u2_a_picture_is_encoded_anew_and_a_pdf_kept(
    customer: httpx2.AsyncClient, support: httpx2.AsyncClient, chat: str
) -> None:
    picture = await upload(customer, chat, png(1600, 1200) + b"<script>", "Чек.png")
    receipt = await upload(customer, chat, PDF, "../../etc/receipt.html")
    assert (picture.status_code, receipt.status_code) == (201, 201)
    message = await sent(customer, chat, picture.json(), text="Смотрите")
    wordless = await sent(customer, chat, receipt.json())

    fetched = [await support.get(attachment.json()["url"]) for attachment in (picture, receipt)]

    assert message.json()["attachment"] == picture.json()
    assert wordless.json()["text"] == ""
    assert [picture.json()[key] for key in ("name", "content_type", "width")] == ["Чек.webp", "image/webp", 1280]
    assert [receipt.json()[key] for key in ("name", "content_type", "size")] == [
        "receipt.pdf",
        "application/pdf",
        len(PDF),
    ]
    assert decode(fetched[0].content).size == (1280, 960)
    assert b"<script>" not in fetched[0].content
    assert fetched[1].content == PDF
    for response in fetched:
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")


@pytest.mark.parametrize(
    "content", [HEIC, encode(Image.new("RGB", (64, 48), "red"), "AVIF", icc_profile=swapped_profile())]
)
async def test_u2_a_telephone_s_picture_is_taken_in_its_colours(
    customer: httpx2.AsyncClient, chat: str, content: bytes
) -> None:
    attachment = (await upload(customer, chat, content, "IMG_0001.HEIC")).json()

    picture = decode((await customer.get(attachment["url"])).content)

    assert (attachment["name"], attachment["content_type"]) == ("IMG_0001.webp", "image/webp")
    red, green, blue = picture.getpixel((30, 20))
    assert (red < 20, green > 235, blue < 20) == (True, True, True)


async def test_a5_nobody_else_fetches_it_and_the_other_side_only_once_it_is_sent(
    customer: httpx2.AsyncClient,
    other_customer: httpx2.AsyncClient,
    support: httpx2.AsyncClient,
    client: httpx2.AsyncClient,
    chat: str,
) -> None:
    attachment = (await upload(customer, chat, PDF)).json()
    before = [(await who.get(attachment["url"])).status_code for who in (customer, support, other_customer, client)]
    await sent(customer, chat, attachment)
    after = [(await who.get(attachment["url"])).status_code for who in (customer, support, other_customer, client)]
    public = await client.get(f"/media/chat/{attachment['id']}.pdf")

    assert before == [200, 404, 404, 401]
    assert after == [200, 200, 404, 401]
    assert public.status_code == 404


async def test_an_upload_is_sent_once_by_whoever_made_it(
    customer: httpx2.AsyncClient, support: httpx2.AsyncClient, chat: str
) -> None:
    attachment = (await upload(customer, chat, PDF)).json()

    by_other = await sent(support, chat, attachment)
    first = await sent(customer, chat, attachment, client_id="1")
    again = await sent(customer, chat, attachment, client_id="1")
    twice = await sent(customer, chat, attachment, client_id="2")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (by_other.status_code, by_other.json()["code"]) == (422, "unknown_reference")
    assert (twice.status_code, twice.json()["code"]) == (422, "unknown_attachment")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"<html>", 415, "unsupported_attachment"),
        (b"", 415, "unsupported_attachment"),
        (b"PK\x03\x04", 415, "unsupported_attachment"),
        (b"\x89PNG\r\n\x1a\n broken", 422, "image_broken"),
        (b"%PDF-" + b"x" * MAX_BYTES, 413, "too_large"),
    ],
)
async def test_u2_what_is_no_picture_and_no_pdf_is_refused(
    customer: httpx2.AsyncClient, sessions: Sessions, chat: str, content: bytes, status: int, code: str
) -> None:
    refused = await upload(customer, chat, content, "a.pdf")

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    async with sessions() as session:
        assert not list(await session.scalars(select(Attachment)))


async def test_ten_uploads_may_wait(customer: httpx2.AsyncClient, chat: str, clock: Clock) -> None:
    statuses = []
    for _ in range(attachments.MAX_UNSENT):
        statuses.append((await upload(customer, chat, PDF)).status_code)
        clock.advance(seconds=1)
    refused = await upload(customer, chat, PDF)

    assert set(statuses) == {201}
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_attachments")


async def test_a_message_says_something(customer: httpx2.AsyncClient, chat: str) -> None:
    for body in ({}, {"text": ""}, {"text": "   "}, {"attachment_id": None}):
        refused = await customer.post(f"/chat/{chat}/messages", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_error")


async def test_what_nobody_sent_within_a_day_is_swept_away(
    app: FastAPI, customer: httpx2.AsyncClient, sessions: Sessions, clock: Clock, chat: str
) -> None:
    kept, dropped = (await upload(customer, chat, PDF)).json(), (await upload(customer, chat, PDF)).json()
    await sent(customer, chat, kept)

    clock.advance(hours=23)
    early = await attachments.sweep(sessions, state_of(app, MediaState).store, now=clock.now)
    two_days_on = datetime.now(UTC) + timedelta(days=2)  # files are as old as the machine's clock says
    late = await attachments.sweep(sessions, state_of(app, MediaState).store, now=two_days_on)

    assert (early, late) == (0, 1)
    assert (await customer.get(kept["url"])).status_code == 200
    assert (await customer.get(dropped["url"])).status_code == 404
