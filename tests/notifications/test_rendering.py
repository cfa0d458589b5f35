"""Every template in both languages, with everything it may be given."""

from pathlib import Path
from typing import Any

import pytest

import crema.notifications
from crema.notifications.service.rendering import LANGUAGES, Stationery

STATIONERY = Stationery(sender="Crema <noreply@crema.example.com>", chain="Crema", link="https://crema.example.com")
EVIL = "<a href=https://evil.example>&\"'"
ORDER: dict[str, Any] = {
    "order_id": "1",
    "number": "A-042",
    "shop": EVIL,
    "shop_address": "Арбат, 1",
    "timezone": "Europe/Moscow",
    "ready_at": "2026-11-23T09:30:00+00:00",
    "lines": [
        {"name": EVIL, "details": "L, Овсяное", "quantity": 2, "total": "620.00"},
        {"name": "Круассан", "details": "", "quantity": 1, "total": "190.00"},
    ],
    "total": "810.00",
    "currency": "RUB",
    "comment": EVIL,
}
ASKED = {"asked_at": "2026-11-23T09:00:00+00:00", "network": "203.0.113.0/24", "device": EVIL}
CODE = {"code": "042137", "minutes": 15} | ASKED
CONTEXTS: dict[str, dict[str, Any]] = {
    "verification_code": CODE,
    "password_reset": CODE | {"name": EVIL},
    "email_change_code": CODE,
    "email_change_asked": {"name": EVIL, "new_email": "new@example.com"} | ASKED,
    "password_changed": {"name": EVIL},
    "session_revoked": {"name": EVIL},
    "email_changed": {"name": EVIL, "new_email": "new@example.com"},
    "order_placed_customer": ORDER,
    "order_placed_staff": ORDER | {"customer_name": EVIL},
    "order_edited_staff": ORDER | {"customer_name": EVIL, "changed": ["pickup_at", "items", "comment", "total"]},
    "order_edited_customer": ORDER | {"changed": ["pickup_at"]},
    "order_cancelled_staff": ORDER | {"customer_name": EVIL, "reason": EVIL},
    "order_ready": {"number": "A-042", "shop": EVIL, "shop_address": "Арбат, 1"},
    "order_cancelled": {"number": "A-042", "shop": "x", "reason": EVIL},
    "job_failed": {"task": EVIL, "error": "OSError", "at": "2026-11-23 09:30 UTC"},
    "chat_answer": {"name": EVIL, "answers": [EVIL, "x"], "count": 2, "chat_url": "https://crema.example/chat"},
}
TEMPLATES = Path(crema.notifications.__file__).parent / "templates"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_is_in_every_language_and_in_this_table(language: str) -> None:
    assert {path.stem for path in (TEMPLATES / language).iterdir()} == set(CONTEXTS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", CONTEXTS)
def test_c5_it_renders_with_its_text_escaped_in_html_only(template: str, language: str) -> None:
    rendered = STATIONERY.render(template=template, language=language, context=CONTEXTS[template])

    assert rendered.subject
    assert "\n" not in rendered.subject
    assert EVIL in rendered.text
    assert "<a href=https://evil.example>" not in rendered.html
    assert "&lt;a href=https://evil.example&gt;" in rendered.html


@pytest.mark.parametrize("template", [name for name, context in CONTEXTS.items() if "name" in context])
def test_nobody_needs_a_name(template: str) -> None:
    for language in LANGUAGES:
        rendered = STATIONERY.render(template=template, language=language, context=CONTEXTS[template] | {"name": None})
        assert "None" not in rendered.text


def test_times_and_money_are_the_reader_s() -> None:
    russian, english = (
        STATIONERY.render(template="order_placed_customer", language=language, context=ORDER).text
        for language in ("ru", "en")
    )

    assert "23 ноября в 12:30" in russian
    assert "810,00 ₽" in russian
    assert "23 November at 12:30" in english
    assert "810.00 RUB" in english


def test_c5_links_come_from_configuration() -> None:
    rendered = STATIONERY.render(template="password_changed", language="en", context={"name": None})

    assert "https://crema.example.com" in rendered.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["verification_code", "email_change_code", "password_reset"])
def test_mails_promised_before_they_said_where_from_still_go_out(template: str, language: str) -> None:
    context = {"code": "042137", "minutes": 15, "name": "Анна"}

    assert "042137" in STATIONERY.render(template=template, language=language, context=context).text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["verification_code", "email_change_code"])
def test_m2_nobody_s_name_goes_to_an_address_that_is_not_verified(template: str, language: str) -> None:
    rendered = STATIONERY.render(template=template, language=language, context=CODE | {"name": "spam.example"})

    assert "spam" not in rendered.subject + rendered.text + rendered.html
