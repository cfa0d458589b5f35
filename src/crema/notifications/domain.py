"""The life of a mail: until when it is sent, when it is tried again, and what a refusal by a mail server means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import ObsoleteHeaderDefect
from email.headerregistry import Address
from email.policy import default
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

import idna

MAX_LIFETIME: Final = timedelta(days=5)
"""For what has no end of its own: RFC 5321, 4.5.4.1."""
FAILED_TEMPLATE: Final = "mails_failed"
"""The daily word to administrators about what failed."""
LIFETIMES: Final = {
    "verification_code": timedelta(minutes=15),
    "password_reset": timedelta(minutes=15),
    "email_change_code": timedelta(minutes=15),
    "order_ready": timedelta(hours=1),
    FAILED_TEMPLATE: timedelta(days=1),
}
"""Template → how long its mails are worth sending. Later they are `expired`. Not listed: MAX_LIFETIME."""
CODE_TEMPLATES: Final = frozenset({"verification_code", "password_reset", "email_change_code"})
"""Templates whose context holds a code: it is emptied at the end of its life, whether the mail was sent or not."""

MAX_BACK_OFF: Final = timedelta(minutes=30)
MAX_CONTENT_REFUSALS: Final = 5
"""So often a server may refuse the content of a mail; then the mail has failed."""


def lifetime(template: str) -> timedelta:
    """Return the time within which a mail of this template is worth sending."""
    return LIFETIMES.get(template, MAX_LIFETIME)


def back_off(tries: int, *, jitter: float) -> timedelta:
    """Return how long to wait after this many tries: 2 s after the first, twice as long each time, up to 30 minutes.

    `jitter` is about 1. It keeps mails that failed together from being tried again together.
    """
    return min(timedelta(seconds=2 ** min(tries, 20)), MAX_BACK_OFF) * jitter


class Stage(StrEnum):
    """The stage of the SMTP session in which a mail server replied."""

    SESSION = "session"
    """Connection, greeting, EHLO, STARTTLS, AUTH, MAIL FROM: nothing of this mail alone."""
    RECIPIENT = "recipient"
    CONTENT = "content"


class Refusal(StrEnum):
    """What a failed delivery means for the mail."""

    RECIPIENT = "recipient"
    """This address takes no mail: final."""
    CONTENT = "content"
    """The server doesn't like the message: final after MAX_CONTENT_REFUSALS."""
    SERVER = "server"
    """Every mail would fare the same: all wait."""
    LATER = "later"
    """This mail waits."""


_FINAL_FOR_RECIPIENT: Final = frozenset({550, 551, 553, 556})
_ABOUT_RECIPIENT: Final = re.compile(r"5\.1\.([012346]|10)|5\.2\.1")
"""RFC 3463: bad address or mailbox disabled. Not 5.1.7 and 5.1.8, the sender's address; not 5.2.2, a full mailbox."""
_NOT_ABOUT_CONTENT: Final = re.compile(r"5\.4\.\d+|5\.3\.(?!4$)\d+")
"""RFC 3463: routing and quotas, and the server's own troubles, but for a message that is too large."""
_ENHANCED: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_CLOSING: Final = 421
_TOO_LARGE: Final = 552


def meaning_of(stage: Stage, code: int, text: str) -> Refusal:
    """Return what a mail server's reply means, by RFC 5321 and by its enhanced status code of RFC 3463, if it has one.

    A refusal for reasons of policy, of a quota or of the sender says nothing about the recipient: the mail waits.
    """
    match = _ENHANCED.match(text)
    enhanced = match[1] if match else None
    if stage == Stage.SESSION:
        is_own_size = code == _TOO_LARGE or enhanced == "5.3.4"
        return Refusal.CONTENT if is_own_size else Refusal.SERVER
    if code == _CLOSING or not 500 <= code < 600:  # noqa: PLR2004 - SMTP's final codes
        return Refusal.LATER
    if stage == Stage.RECIPIENT:
        is_final = _ABOUT_RECIPIENT.fullmatch(enhanced) if enhanced else code in _FINAL_FOR_RECIPIENT
        return Refusal.RECIPIENT if is_final else Refusal.LATER
    return Refusal.LATER if enhanced and _NOT_ABOUT_CONTENT.fullmatch(enhanced) else Refusal.CONTENT


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """A mail that waits to be delivered."""

    id: UUID
    recipient: str
    template: str
    language: str
    context: dict[str, Any]
    tries: int
    content_refusals: int
    created_at: datetime
    queued_at: datetime
    next_try_at: datetime | None

    @property
    def expires_at(self) -> datetime:
        """The time after which the mail is no longer worth sending."""
        return self.queued_at + lifetime(self.template)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The state of a mail after a try. If `status` is `queued`, the next try is at `next_try_at`.

    `was_tried` means that the server replied or the template failed. An `error` of None keeps the error before.
    """

    status: str
    was_tried: bool
    was_content_refused: bool = False
    error: str | None = None
    ended_at: datetime | None = None
    next_try_at: datetime | None = None
    keeps_context: bool = True


def choose_due(mails: Sequence[QueuedMail], *, now: datetime) -> list[QueuedMail]:
    """Return the mails of a job to try now: those that are due, or else the earliest.

    There is always one, so that a job never runs for nothing, even if the database's clock is ahead.
    """
    due = [mail for mail in mails if mail.next_try_at is None or mail.next_try_at <= now]
    return due or sorted(mails, key=lambda mail: mail.next_try_at or now)[:1]


def outcome_of_refusal(mail: QueuedMail, refusal: Refusal, *, error: str, now: datetime, jitter: float) -> Outcome:
    """Return the outcome for a mail that was refused. `jitter` is that of `back_off`."""
    was_content_refused = refusal == Refusal.CONTENT
    if refusal == Refusal.RECIPIENT or (was_content_refused and mail.content_refusals + 1 >= MAX_CONTENT_REFUSALS):
        return Outcome(
            status="failed", was_tried=True, was_content_refused=was_content_refused, error=error, ended_at=now
        )
    return Outcome(
        status="queued",
        was_tried=True,
        was_content_refused=was_content_refused,
        error=error,
        next_try_at=min(now + back_off(mail.tries + 1, jitter=jitter), mail.expires_at),
    )


def expiry_of(mail: QueuedMail, *, now: datetime) -> Outcome:
    """Return the outcome for a mail that is no longer worth sending."""
    return Outcome(status="expired", was_tried=False, ended_at=now, keeps_context=mail.template not in CODE_TEMPLATES)


class InvalidAddressError(ValueError):
    """The address can't be used to send a mail to or from."""


def with_ascii_domain(address: str) -> str:
    """Return an address with its domain in ACE (`почта.рф` → `xn--80a1acny.xn--p1ai`).

    It is used even if the next server knows SMTPUTF8, because servers after that one may not.
    """
    local, at, domain = address.rpartition("@")
    if not (local and at and domain):
        raise InvalidAddressError("an e-mail address is local-part@domain")
    if domain.isascii():
        return address
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError as error:
        raise InvalidAddressError("the domain of this e-mail address is not valid") from error


def parse_sender(text: str) -> Address:
    """Return the parsed sender, written as `Name <address>` or as an address; ValueError for anything else."""
    if not text.isprintable():
        raise ValueError("it must be one line, without control characters")
    header: Any = default.header_factory("From", text)
    addresses: tuple[Address, ...] = header.addresses
    # RFC 5322 calls a full stop in an unquoted name obsolete, but its meaning is clear.
    defects = [defect for defect in header.defects if not isinstance(defect, ObsoleteHeaderDefect)]
    if defects or len(addresses) != 1 or not addresses[0].domain or any(g.display_name for g in header.groups):
        raise ValueError(
            "it must be one address, as in: Crema <noreply@example.com>. A name with a comma or another sign is quoted:"
            ' "Coffee, Bar" <noreply@example.com>'
        )
    address = with_ascii_domain(addresses[0].addr_spec)
    if not address.isascii():
        raise ValueError("the part before the @ must be ASCII, or most servers will refuse our mails")
    return Address(display_name=addresses[0].display_name, addr_spec=address)


class Security(StrEnum):
    """How the connection to the mail server is encrypted."""

    TLS = "smtps"
    STARTTLS = "smtp"
    NONE = "smtp+plain"


_PORTS: Final = {Security.TLS: 465, Security.STARTTLS: 587, Security.NONE: 25}


@dataclass(frozen=True, slots=True)
class MailServer:
    """The address and the login of a mail server."""

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = None


def parse_smtp_url(url: str) -> MailServer:
    """Return the server of `smtp://user:password@host:587`, `smtps://…` or `smtp+plain://host`; or raise ValueError.

    The text of the error has no part of the URL, because the URL contains a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not an SMTP URL: its host or port can't be read") from None
    if parts.scheme not in tuple(Security) or not host:
        raise ValueError(
            "it is not an SMTP URL: smtp://user:password@host:587 (STARTTLS), smtps://… (TLS) or, for a server on the"
            " same machine, smtp+plain://host:25"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("an SMTP URL ends after its port; encode / ? # in a password as %2F %3F %23")
    security = Security(parts.scheme)
    if security == Security.NONE and (parts.username or parts.password):
        raise ValueError("smtp+plain:// sends everything in the clear, so it takes no user and no password")
    return MailServer(
        host=host,
        port=port or _PORTS[security],
        security=security,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
