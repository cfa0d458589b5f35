"""Where messages go: an SMTP server, or the console of a developer."""

from email.message import EmailMessage
from textwrap import indent
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

TIMEOUT_SECONDS: Final = 15
_PORTS: Final = {"smtp": 587, "smtps": 465}


class Sender(Protocol):
    """Hands a message over, or raises. `keeps_context`: whether the mail may still be looked at afterwards."""

    keeps_context: bool

    async def send(self, message: EmailMessage) -> None: ...


class RefusedError(Exception):
    """The server will never take this message."""


class ConsoleSender:
    """Prints mails for whoever runs Crema by hand. Not to the log, which must hold no codes."""

    keeps_context = True

    async def send(self, message: EmailMessage) -> None:
        body = message.get_body(("plain",))
        text = body.get_content() if isinstance(body, EmailMessage) else ""
        print(f"\n✉ {message['To']} · {message['Subject']}\n\n{indent(text, '    ')}", flush=True)  # noqa: T201


class SmtpSender:
    """Speaks to the server of `smtp://user:password@host:587` (STARTTLS where offered) or `smtps://…`."""

    keeps_context = False

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("an SMTP URL is smtp://host or smtps://host")
        self._host = parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._use_tls = parts.scheme == "smtps"

    async def send(self, message: EmailMessage) -> None:
        """Raise RefusedError for a final no, anything else for a later try."""
        try:
            await aiosmtplib.send(
                message,
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                use_tls=self._use_tls,
                timeout=TIMEOUT_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(500 <= refused.code < 600 for refused in error.recipients):  # noqa: PLR2004 - SMTP's final codes
                raise RefusedError(str(error.recipients[0])) from error
            raise
        except aiosmtplib.SMTPAuthenticationError:
            raise  # ours to mend: the mail waits
        except aiosmtplib.SMTPResponseException as error:
            if 500 <= error.code < 600:  # noqa: PLR2004 - SMTP's final codes
                raise RefusedError(f"{error.code} {error.message}") from error
            raise
