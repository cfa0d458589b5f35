"""Settings of mail that would only be found to be wrong when the first mail leaves are refused at start."""

import pytest
from pydantic import SecretStr, ValidationError

from crema.settings import Settings


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Crema <noreply@example.com>", "Crema <noreply@example.com>"),
        ('"Cafe, Bar" <x@example.com>', '"Cafe, Bar" <x@example.com>'),
        ("Кофейня <noreply@example.com>", "Кофейня <noreply@example.com>"),
        ("Кофейня №1 и Ко. <noreply@example.com>", '"Кофейня №1 и Ко." <noreply@example.com>'),
        ("noreply@example.com", "noreply@example.com"),
        ("Crema <noreply@почта.рф>", "Crema <noreply@xn--80a1acny.xn--p1ai>"),
    ],
)
def test_m1_a_sender_is_read_as_it_will_be_written(text: str, meant: str) -> None:
    assert Settings(_env_file=None, mail_from=text).mail_from == meant


@pytest.mark.parametrize(
    "text",
    [
        "Cafe, Bar <x@example.com>",
        "Crema",
        "",
        "Crema <x@example.com>, Bar <y@example.com>",
        "Crema <x@example.com> and more",
        "Crema x@example.com",
        "Crema <x y@example.com>",
        "Crema <x@>",
        "Crema <@example.com>",
        "Crema <x@example.com\nBcc: y@example.com>",
        "Crema\r\nBcc: y@example.com <x@example.com>",
        "all:x@example.com;",
        "Crema <почта@example.com>",
        "Crema <x@-.рф>",
    ],
)
def test_m1_a_sender_that_is_not_one_address_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, mail_from=text)

    (error,) = refused.value.errors()
    assert error["loc"] == ("mail_from",)
    assert error["msg"].startswith("Value error, ")


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://user:secret@host:x", "smtp+plain://user:secret@host"])
def test_m4_an_smtp_url_is_refused_at_start_and_its_password_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, smtp_url=SecretStr(url))

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "link"),
    [
        ({}, "http://127.0.0.1:8000/chat/{conversation_id}"),
        ({"public_url": "https://api.example.com/"}, "https://api.example.com/chat/{conversation_id}"),
        (
            {"chat_url": "https://app.example.com/help?c={conversation_id}"},
            "https://app.example.com/help?c={conversation_id}",
        ),
        (
            {"chat_url": "https://app.example.com/help"},
            "https://app.example.com/help?conversation_id={conversation_id}",
        ),
        (
            {"chat_url": "https://app.example.com/help?lang=ru"},
            "https://app.example.com/help?lang=ru&conversation_id={conversation_id}",
        ),
    ],
)
def test_a_mailed_link_leads_to_the_conversation(fields: dict[str, str], link: str) -> None:
    assert Settings(_env_file=None, **fields).chat_link == link


@pytest.mark.parametrize(
    "url", ["app.example.com", "javascript:alert(1)", "https://x/{id}", "https://x/a\nb", "https:///chat"]
)
def test_a_link_that_leads_nowhere_is_refused_at_start(url: str) -> None:
    with pytest.raises(ValidationError, match=r"conversation_id"):
        Settings(_env_file=None, chat_url=url)
