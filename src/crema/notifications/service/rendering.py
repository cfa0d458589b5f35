"""Renders a queued mail as a message. Each language has one text template, and the HTML is made from the same text.

Text that people wrote must not look like text of the shop. Every value that a template prints becomes one line. Text
that may have several lines goes through the filter `quoted`: each of its lines begins with `> `, and the HTML shows it
as a block of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from itertools import groupby
from textwrap import wrap
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from crema.notifications.domain import QueuedMail, with_ascii_domain
from crema.notifications.service import formatting
from crema.notifications.service.formatting import Formatted

LANGUAGES: Final = ("en", "ru")
_DIRECTIONS: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""They make a reader see text in another order, and another place, than it has."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_QUOTE: Final = "> "
_QUOTE_WIDTH: Final = 72
"""Longer lines would be broken by the reader's program, which marks only their beginning."""


def _visible(text: str) -> str:
    return _DIRECTIONS.sub("", _CONTROL.sub("", text))


def _one_line(value: Any) -> Any:
    """Return a value on one line. Line breaks and other white space become single spaces."""
    if not isinstance(value, str) or isinstance(value, Formatted):
        return value
    return re.sub(r"\s+", " ", _visible(value))


def _quoted(text: str) -> Formatted:
    """Return text as a quotation, line by line, without blank lines."""
    lines = [" ".join(line.split()) for line in _visible(text).splitlines()]
    # A link is not broken, so that it can be followed.
    broken = [part for line in lines for part in wrap(line, _QUOTE_WIDTH, break_long_words="://" not in line)]
    return Formatted("\n".join(f"{_QUOTE}{line}" for line in broken))


def _groups(paragraph: str) -> Iterator[tuple[bool, list[str]]]:
    """Return the lines in groups, each with whether its lines are quoted."""
    for is_quoted, lines in groupby(paragraph.split("\n"), lambda line: line.startswith(_QUOTE)):
        yield is_quoted, [line.removeprefix(_QUOTE) if is_quoted else line for line in lines]


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("crema.notifications"),
        autoescape=autoescape,  # noqa: S701 - off for plain text only
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=None if autoescape else _one_line,
        keep_trailing_newline=False,
    )
    environment.filters |= {
        "money": formatting.money,
        "local": formatting.local,
        "quoted": _quoted,
        "allergens": formatting.allergens,
        "nutrition": formatting.nutrition,
    }
    return environment


_TEXT: Final = _environment(autoescape=False)
_HTML: Final = _environment(autoescape=True)


class _Headers(HeaderRegistry):
    """Parses headers. Values that many mails share are parsed once: parsing was half of the cost of a message."""

    _SAME_IN_MANY: Final = frozenset(
        ("from", "auto-submitted", "content-language", "mime-version", "content-type", "content-transfer-encoding")
    )

    def __init__(self) -> None:
        super().__init__()
        self._kind_of = lru_cache(maxsize=64)(super().__getitem__)
        self._parse_once = lru_cache(maxsize=64)(super().__call__)

    def __getitem__(self, name: str) -> Any:
        return self._kind_of(name.lower())

    def __call__(self, name: str, value: Any) -> Any:
        return (self._parse_once if name.lower() in self._SAME_IN_MANY else super().__call__)(name, value)


_POLICY: Final = default.clone(cte_type="7bit", header_factory=_Headers())


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """The subject and the bodies of a mail."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class MailRenderer:
    """Renders mails with the sender and the link addresses of the configuration, never of a request's Host."""

    sender: str
    chain: str
    link: str

    def render(self, *, template: str, language: str, context: dict[str, Any]) -> RenderedMail:
        """Return the rendered template. Its first line is the subject."""
        known = {"chain": self.chain, "link": self.link, "language": language} | context
        subject, _, text = _TEXT.get_template(f"{language}/{template}.j2").render(known).partition("\n")
        text = text.strip()
        html = _HTML.get_template("mail.html.j2").render(
            known
            | {
                "subject": subject,
                "paragraphs": [list(_groups(block)) for block in re.split("\n{2,}", text)],
                "code": context.get("code"),
                "action": context.get("chat_url"),
            }
        )
        return RenderedMail(subject, text, html)

    def message(self, mail: QueuedMail) -> EmailMessage:
        """Return the message of a mail. Its Message-ID is the mail's id, which is the same at every try.

        InvalidAddressError if nothing can be sent to its recipient.
        """
        rendered = self.render(template=mail.template, language=mail.language, context=mail.context)
        message = EmailMessage(policy=_POLICY)
        message["From"] = self.sender
        message["To"] = with_ascii_domain(mail.recipient)
        message["Subject"] = rendered.subject
        message["Date"] = format_datetime(mail.created_at)
        message["Message-ID"] = f"<{mail.id}@{parseaddr(self.sender)[1].rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message["Content-Language"] = mail.language
        message.set_content(rendered.text)
        message.add_alternative(rendered.html, subtype="html")
        message.set_boundary(f"=_{mail.id.hex}")  # else a free one is searched for, which takes a tenth of the time
        return message
