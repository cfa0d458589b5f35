"""Turning a promised mail into a message: one text template a language; the HTML is made of the same text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from crema.notifications.models import Mail

LANGUAGES: Final = ("en", "ru")
_SYMBOLS: Final = {"RUB": "₽", "USD": "$", "EUR": "€"}
_MONTHS: Final = (
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
)


def _money(amount: str, currency: str, language: str) -> str:
    if language == "ru":
        return f"{amount.replace('.', ',')} {_SYMBOLS.get(currency, currency)}"
    return f"{amount} {currency}"


def _local(instant: str, timezone: str, language: str) -> str:
    """Tell an instant in the shop's own time."""
    at = datetime.fromisoformat(instant).astimezone(ZoneInfo(timezone))
    if language == "ru":
        return f"{at.day} {_MONTHS[at.month - 1]} в {at:%H:%M}"
    return f"{at.day} {at:%B at %H:%M}"


_ALLERGENS_RU: Final = {
    "celery": "сельдерей",
    "crustaceans": "ракообразные",
    "eggs": "яйца",
    "fish": "рыба",
    "gluten": "глютен",
    "lupin": "люпин",
    "milk": "молоко",
    "molluscs": "моллюски",
    "mustard": "горчица",
    "nuts": "орехи",
    "peanuts": "арахис",
    "sesame": "кунжут",
    "soy": "соя",
    "sulphites": "сульфиты",
}


def _allergens(codes: Sequence[str], language: str) -> str:
    names = _ALLERGENS_RU if language == "ru" else {}
    return ", ".join(names.get(code, code) for code in codes)


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("crema.notifications"),
        autoescape=autoescape,  # noqa: S701 - off for plain text only
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters |= {"money": _money, "local": _local, "allergens": _allergens}
    return environment


_TEXT: Final = _environment(autoescape=False)
_HTML: Final = _environment(autoescape=True)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail as its reader sees it."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Stationery:
    """Who writes, and where links lead: from configuration, never from a request's Host."""

    sender: str
    chain: str
    link: str

    def render(self, *, template: str, language: str, context: dict[str, Any]) -> Rendered:
        """Fill a template in; its first line is the subject."""
        known = {"chain": self.chain, "link": self.link, "language": language} | context
        subject, _, text = _TEXT.get_template(f"{language}/{template}.j2").render(known).partition("\n")
        text = text.strip()
        html = _HTML.get_template("letter.html.j2").render(
            known
            | {
                "subject": subject,
                "paragraphs": [block.split("\n") for block in text.split("\n\n")],
                "code": context.get("code"),
                "action": context.get("chat_url"),
            }
        )
        return Rendered(subject, text, html)

    def message(self, mail: Mail) -> EmailMessage:
        """Make the message of a mail. Its Message-ID is the mail's id, the same at every try."""
        rendered = self.render(template=mail.template, language=mail.language, context=mail.context)
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = mail.recipient
        message["Subject"] = rendered.subject
        message["Date"] = format_datetime(mail.created_at)
        message["Message-ID"] = f"<{mail.id}@{parseaddr(self.sender)[1].rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message["Content-Language"] = mail.language
        message.set_content(rendered.text)
        message.add_alternative(rendered.html, subtype="html")
        return message
