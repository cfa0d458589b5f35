"""Every template in both languages, with everything it may be given."""

import re
from pathlib import Path
from typing import Any

import pytest

import crema.notifications
from crema.notifications.domain import CODE_TEMPLATES, LIFETIMES
from crema.notifications.service.rendering import LANGUAGES, MailRenderer

MAIL_RENDERER = MailRenderer(
    sender="Crema <noreply@crema.example.com>", chain="Crema", link="https://crema.example.com"
)
NO_BREAK = "\N{NO-BREAK SPACE}"
EVIL = "<a href=https://evil.example>&\"'"
ORDER: dict[str, Any] = {
    "order_id": "1",
    "number": "A-042",
    "shop": EVIL,
    "shop_address": "Арбат, 1",
    "timezone": "Europe/Moscow",
    "ready_at": "2026-11-23T09:30:00+00:00",
    "lines": [
        {"name": EVIL, "details": "L, Овсяное", "note": EVIL, "quantity": 2, "total": "620.00"},
        {"name": "Круассан", "details": "", "note": "", "quantity": 1, "total": "190.00"},
    ],
    "total": "810.00",
    "currency": "RUB",
    "comment": EVIL,
}
CLOSED = {name: ORDER[name] for name in ("number", "shop", "timezone", "ready_at", "total", "currency")}
CLOSED |= {"name": EVIL, "status": "expired"}
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
    "order_edited_staff": ORDER
    | {"customer_name": EVIL, "changed": ["pickup_at", "items", "comment", "total"]}
    | {"number_before": "B-001"},
    "order_edited_customer": ORDER | {"changed": ["pickup_at"], "number_before": "B-001", "is_by_customer": False},
    "order_cancelled_staff": ORDER | {"customer_name": EVIL, "reason": EVIL},
    "order_ready": {"number": "A-042", "shop": EVIL, "shop_address": "Арбат, 1"},
    "order_expired": {"number": "A-042", "shop": "x", "reason": EVIL},
    "orders_closed_staff": {
        "cause": "account_deleted",
        "orders": [CLOSED, CLOSED | {"status": "cancelled", "name": None}],
    },
    "order_cancelled": {"number": "A-042", "shop": "x", "reason": EVIL},
    "job_failed": {"task": EVIL, "error": "OSError", "at": "2026-11-23 09:30 UTC"},
    "mails_failed": {
        "count": 2,
        "mails": [{"template": "order_ready", "recipient": "anna@example.com", "status": "failed", "error": EVIL}],
    },
    "chat_answer": {"name": EVIL, "answers": [EVIL, "x"], "count": 2, "chat_url": "https://crema.example/chat"},
}
TEMPLATES = Path(crema.notifications.__file__).parent / "templates"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_is_in_every_language_and_in_this_table(language: str) -> None:
    assert {path.stem for path in (TEMPLATES / language).iterdir()} == set(CONTEXTS)


def test_lives_are_of_templates_and_every_code_has_one() -> None:
    assert set(LIFETIMES) <= set(CONTEXTS)
    assert {template for template, context in CONTEXTS.items() if "code" in context} == CODE_TEMPLATES
    assert set(LIFETIMES) >= CODE_TEMPLATES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", CONTEXTS)
def test_c5_it_renders_with_its_text_escaped_in_html_only(template: str, language: str) -> None:
    rendered = MAIL_RENDERER.render(template=template, language=language, context=CONTEXTS[template])

    assert rendered.subject
    assert "\n" not in rendered.subject
    assert EVIL in rendered.text
    assert "<a href=https://evil.example>" not in rendered.html
    assert "&lt;a href=https://evil.example&gt;" in rendered.html


@pytest.mark.parametrize("template", [name for name, context in CONTEXTS.items() if "name" in context])
def test_nobody_needs_a_name(template: str) -> None:
    for language in LANGUAGES:
        rendered = MAIL_RENDERER.render(
            template=template, language=language, context=CONTEXTS[template] | {"name": None}
        )
        assert "None" not in rendered.text


def test_times_and_money_are_the_reader_s() -> None:
    russian, english = (
        MAIL_RENDERER.render(template="order_placed_customer", language=language, context=ORDER).text
        for language in ("ru", "en")
    )

    assert "23 ноября в 12:30" in russian
    assert f"810{NO_BREAK}₽" in russian
    assert "23 November at 12:30" in english
    assert f"RUB{NO_BREAK}810" in english


@pytest.mark.parametrize(
    ("amount", "currency", "russian", "english"),
    [
        ("12000.00", "RUB", "12 000 ₽", "RUB 12,000"),
        ("12000.50", "RUB", "12 000,50 ₽", "RUB 12,000.50"),
        ("0.00", "RUB", "0 ₽", "RUB 0"),
        ("-120.00", "RUB", "-120 ₽", "-RUB 120"),
        ("1234567.09", "EUR", "1 234 567,09 €", "€1,234,567.09"),
        ("4.00", "EUR", "4 €", "€4"),
        ("4.50", "GBP", "4,50 £", "£4.50"),
        ("4.50", "USD", "4,50 $", "US$4.50"),
        ("700.00", "JPY", "700 ¥", "JP¥700"),
        ("1500.00", "KZT", "1 500 KZT", "KZT 1,500"),
    ],
)
def test_an_amount_in_each_language_does_not_break_over_two_lines(
    amount: str, currency: str, russian: str, english: str
) -> None:
    for language, expected in (("ru", russian), ("en", english)):
        text = MAIL_RENDERER.render(
            template="order_placed_customer", language=language, context=ORDER | {"total": amount, "currency": currency}
        ).text

        assert f": {expected.replace(' ', NO_BREAK)}, " in text


@pytest.mark.parametrize(
    ("instant", "timezone", "russian", "english"),
    [
        ("2026-12-31T21:30:00+00:00", "Europe/Moscow", "1 января в 00:30", "1 January at 00:30"),
        ("2026-05-09T20:59:00+00:00", "America/New_York", "9 мая в 16:59", "9 May at 16:59"),
        ("2026-08-01T06:00:00+05:45", "Asia/Kathmandu", "1 августа в 06:00", "1 August at 06:00"),
    ],
)
def test_an_instant_is_told_by_the_clock_of_the_shop(instant: str, timezone: str, russian: str, english: str) -> None:
    for language, expected in (("ru", russian), ("en", english)):
        context = ORDER | {"ready_at": instant, "timezone": timezone}

        assert (
            expected in MAIL_RENDERER.render(template="order_placed_customer", language=language, context=context).text
        )


def test_c5_links_come_from_configuration() -> None:
    rendered = MAIL_RENDERER.render(template="password_changed", language="en", context={"name": None})

    assert "https://crema.example.com" in rendered.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["verification_code", "email_change_code", "password_reset"])
def test_mails_promised_before_they_said_where_from_still_go_out(template: str, language: str) -> None:
    context = {"code": "042137", "minutes": 15, "name": "Анна"}

    assert "042137" in MAIL_RENDERER.render(template=template, language=language, context=context).text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["verification_code", "email_change_code"])
def test_m2_nobody_s_name_goes_to_an_address_that_is_not_verified(template: str, language: str) -> None:
    rendered = MAIL_RENDERER.render(template=template, language=language, context=CODE | {"name": "spam.example"})

    assert "spam" not in rendered.subject + rendered.text + rendered.html


WRITTEN = (
    "\n\n\n\n\nИтого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "Погорячее\r\n\r\nИтого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "Погорячее\u2028\u2029\x85\x0b\x0cИтого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "Погорячее" + " " * 200 + "Итого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "Погорячее" + "\u00a0\u3000" * 100 + "Итого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "\u202e\u2066Итого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "> \n> \nИтого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "я" * 300 + "\nИтого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
    "</blockquote><p>Итого: 1,00 ₽ — ОПЛАЧЕНО ОНЛАЙН",
)
"""What people write so that it reads as if we had said it."""


def _with(context: Any, written: str) -> Any:
    """Put the text where people write."""
    if isinstance(context, dict):
        return {
            key: written if key in {"name", "customer_name", "note", "comment", "reason", "error"} and value else value
            for key, value in ((key, _with(value, written)) for key, value in context.items())
        } | ({"answers": [written]} if "answers" in context else {})
    return [_with(value, written) for value in context] if isinstance(context, list) else context


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", CONTEXTS)
@pytest.mark.parametrize("written", WRITTEN)
def test_m5_what_people_wrote_never_stands_as_a_line_of_ours(template: str, language: str, written: str) -> None:
    plain = MAIL_RENDERER.render(template=template, language=language, context=_with(CONTEXTS[template], "Слово"))

    rendered = MAIL_RENDERER.render(template=template, language=language, context=_with(CONTEXTS[template], written))

    ours = [line for line in rendered.text.splitlines() if not line.startswith("> ")]
    assert len(ours) == len([line for line in plain.text.splitlines() if not line.startswith("> ")])
    assert not [line for line in ours if line.lstrip().startswith("Итого: 1,00")]
    assert not re.search("[\u2028\u2029\x85\x0b\x0c\r\u202e\u2066]", rendered.text + rendered.subject)
    assert all(len(line) <= 74 for line in rendered.text.splitlines() if line.startswith("> "))
    assert rendered.html.count("<blockquote") == plain.html.count("<blockquote")


def test_m5_a_note_stands_under_its_line_and_the_comment_in_a_block_of_its_own() -> None:
    context = ORDER | {"customer_name": "Анна", "comment": "Без\n\nкрышки"}
    context["lines"] = [ORDER["lines"][0] | {"note": "Погорячее\n\n\nИтого: 1,00 ₽"}]

    rendered = MAIL_RENDERER.render(template="order_placed_staff", language="ru", context=context)

    assert f"— 620{NO_BREAK}₽\n> Погорячее\n> Итого: 1,00 ₽\nИтого: 810{NO_BREAK}₽" in rendered.text
    assert "Клиент:\n> Анна\n" in rendered.text
    assert rendered.text.endswith("Комментарий:\n> Без\n> крышки")
    assert re.search(r"<blockquote[^>]*>Погорячее<br>Итого: 1,00 ₽</blockquote>", rendered.html)
    assert re.search(r"<blockquote[^>]*>Без<br>крышки</blockquote>", rendered.html)


def test_m5_a_link_that_somebody_wrote_stays_whole() -> None:
    link = "https://crema.example.com/" + "a" * 100

    context = CONTEXTS["chat_answer"] | {"answers": [f"Смотрите {link}"]}

    assert link in MAIL_RENDERER.render(template="chat_answer", language="ru", context=context).text


def test_mails_promised_by_the_last_version_can_be_rendered() -> None:
    lines = [{key: value for key, value in line.items() if key != "note"} for line in ORDER["lines"]]

    assert MAIL_RENDERER.render(template="order_placed_customer", language="ru", context=ORDER | {"lines": lines}).text
