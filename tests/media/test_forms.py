"""Forms that bring a file: one of each field, names in every spelling, and nothing read from whom it wouldn't help."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest

from crema.media.domain import CHAT_QUOTA, MAX_BYTES, MENU_QUOTA
from factories.menu import make_product
from factories.pictures import png
from fixtures.app import Clock

pytestmark = pytest.mark.anyio

PDF = b"%PDF-1.7\n%%EOF"
FILE = {"file": ("a.pdf", PDF, "application/pdf")}


@pytest.fixture
async def path(customer: httpx2.AsyncClient) -> str:
    return f"/chat/{(await customer.post('/chat')).json()['id']}/attachments"


def form(*parts: tuple[str, bytes]) -> dict[str, object]:
    """Write a multipart body by hand: each part is its Content-Disposition and its content."""
    body = b"".join(
        b"--edge\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return {"content": body + b"--edge--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=edge"}}


def refusal(response: httpx2.Response) -> tuple[int, list[str], str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["loc"], error["type"]


async def test_two_files_in_one_form_are_refused(customer: httpx2.AsyncClient, path: str) -> None:
    response = await customer.post(path, files=[("file", FILE["file"]), ("file", FILE["file"])])

    assert refusal(response) == (422, ["body", "file"], "repeated")


async def test_a_field_sent_twice_is_refused(manager: httpx2.AsyncClient) -> None:
    product = await make_product(manager)
    image, alt = ('name="file"; filename="a.png"', png()), ('name="alt"', b"x")

    response = await manager.post(f"/product/{product['id']}/images", **form(alt, image, alt))

    assert refusal(response) == (422, ["body", "alt"], "repeated")
    assert (await manager.get(f"/product/{product['id']}")).json()["images"] == []


async def test_a_field_nobody_asked_for_is_refused(customer: httpx2.AsyncClient, path: str) -> None:
    as_text = await customer.post(path, files=FILE, data={"note": "x"})
    as_file = await customer.post(path, files=FILE | {"other": FILE["file"]})

    assert refusal(as_text) == (422, ["body", "note"], "extra_forbidden")
    assert refusal(as_file) == (422, ["body", "other"], "extra_forbidden")


async def test_a_file_sent_as_text_and_text_sent_as_a_file_are_refused(manager: httpx2.AsyncClient) -> None:
    path = f"/product/{(await make_product(manager))['id']}/images"

    file_as_text = await manager.post(path, **form(('name="file"', png())))
    text_as_file = await manager.post(path, files={"file": ("a.png", png()), "alt": ("alt.txt", b"x")})
    none = await manager.post(path, **form(('name="alt"', b"x")))
    not_text = await manager.post(path, **form(('name="alt"', b"\xff"), ('name="file"; filename="a.png"', png())))
    too_long = await manager.post(path, files={"file": ("a.png", png())}, data={"alt": "x" * 301})

    assert [refusal(each) for each in (file_as_text, text_as_file, none, not_text, too_long)] == [
        (422, ["body", "file"], "file_expected"),
        (422, ["body", "alt"], "text_expected"),
        (422, ["body", "file"], "missing"),
        (422, ["body", "alt"], "not_utf8"),
        (422, ["body", "alt"], "too_long"),
    ]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("filename*=UTF-8''%D0%A7%D0%B5%D0%BA.html", "Чек.pdf"),
        ("filename=\"receipt.pdf\"; filename*=UTF-8''%D0%A7%D0%B5%D0%BA.pdf", "Чек.pdf"),
        ("filename*=iso-8859-1''caf%E9.pdf", "café.pdf"),
        ("filename*=UTF-9''%D0.pdf", "Ð.pdf"),
        ('filename="Чек.pdf"', "Чек.pdf"),
        (r'filename="a\"b.pdf"', 'a"b.pdf'),
        ("filename=plain.pdf", "plain.pdf"),
        ('filename=""', "file.pdf"),
    ],
)
async def test_a_file_s_name_is_read_however_it_is_spelled(
    customer: httpx2.AsyncClient, path: str, filename: str, name: str
) -> None:
    response = await customer.post(path, **form((f'name="file"; {filename}', PDF)))

    assert (response.status_code, response.json().get("name")) == (201, name)


async def test_what_is_no_whole_form_is_refused(customer: httpx2.AsyncClient, path: str) -> None:
    whole = form(('name="file"; filename="a.pdf"', PDF))
    headers = whole["headers"]
    assert isinstance(whole["content"], bytes)

    answers = [
        await customer.post(path, json={"file": "x"}),
        await customer.post(path, data={"file": "x"}),
        await customer.post(path, content=whole["content"], headers={"Content-Type": "multipart/form-data"}),
        await customer.post(path, content=whole["content"][:-20], headers=headers),
        await customer.post(path, content=b"", headers=headers),
        await customer.post(path, content=b"--other\r\n\r\n", headers=headers),
        await customer.post(path, **form(("filename=nameless.pdf", PDF))),
        await customer.post(path, **form(('name="file"; name="alt"; filename="a.pdf"', PDF))),
    ]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {(422, "validation_error")}


async def unread(body: list[int]) -> AsyncIterator[bytes]:
    """Give a body piece by piece, and note what was asked for."""
    for _ in range(10):
        body.append(1)
        yield b"x"


async def test_u4_nothing_is_read_of_a_file_that_may_not_come(
    client: httpx2.AsyncClient,
    customer: httpx2.AsyncClient,
    other_customer: httpx2.AsyncClient,
    path: str,
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    for _ in range(10):
        assert (await customer.post(path, files=FILE)).status_code == 201
    read: list[int] = []

    answers = [
        await client.post(path, content=unread(read), headers=headers),
        await other_customer.post(path, content=unread(read), headers=headers),
        await customer.post(path, content=unread(read), headers=headers),
        await customer.post(f"/product/{uuid4()}/images", content=unread(read), headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [401, 404, 409, 403]
    assert read == []


async def test_u4_a_person_uploads_so_many_files_a_minute_whatever_becomes_of_them(
    customer: httpx2.AsyncClient, other_customer: httpx2.AsyncClient, path: str, clock: Clock
) -> None:
    refused = [(await customer.post(path, files={"file": ("a", b"no")})).status_code for _ in range(30)]

    over = await customer.post(path, files=FILE)
    others = await other_customer.post(
        f"/chat/{(await other_customer.post('/chat')).json()['id']}/attachments", files=FILE
    )
    clock.advance(minutes=1)
    later = await customer.post(path, files=FILE)

    assert refused == [415] * CHAT_QUOTA.per_minute
    assert (over.status_code, over.json()["code"], over.headers["retry-after"]) == (429, "too_many_uploads", "60")
    assert (others.status_code, later.status_code) == (201, 201)


async def test_u4_a_person_uploads_so_many_bytes_a_day(customer: httpx2.AsyncClient, path: str, clock: Clock) -> None:
    largest = {"file": ("a", b"no".ljust(MAX_BYTES, b"x"))}
    for _ in range(CHAT_QUOTA.bytes_per_day // MAX_BYTES):
        assert (await customer.post(path, files=largest)).status_code == 415
        clock.advance(seconds=3)

    over = await customer.post(path, files=FILE)
    clock.advance(days=1)
    tomorrow = await customer.post(path, files=FILE)

    assert (over.status_code, over.json()["code"]) == (429, "too_many_uploads")
    assert "100 MiB a day" in over.json()["detail"]
    assert tomorrow.status_code == 201


def test_editors_may_upload_more_than_customers() -> None:
    assert MENU_QUOTA.per_minute > CHAT_QUOTA.per_minute
    assert MENU_QUOTA.bytes_per_day > CHAT_QUOTA.bytes_per_day


async def test_a_login_form_that_names_a_field_twice_is_refused(client: httpx2.AsyncClient) -> None:
    fields = "username=a%40example.com&password=x&username=b%40example.com"

    response = await client.post(
        "/access", content=fields, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert refusal(response) == (422, ["body", "username"], "repeated")
