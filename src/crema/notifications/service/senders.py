"""Where messages go: an SMTP server, or the console of a developer."""

import asyncio
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from textwrap import indent
from typing import Final, Protocol

import aiosmtplib

from crema.notifications.domain import Refusal, Security, Stage, meaning_of, parse_smtp_url

TIMEOUT_SECONDS: Final = 30
"""How long a server may think about one command."""
DEADLINE_SECONDS: Final = 120
"""How long it may take over a whole mail, however often it gives a sign of life."""


class Sender(Protocol):
    """Hands a message over, or raises. `keeps_context`: whether the mail may still be looked at afterwards."""

    keeps_context: bool

    async def send(self, message: EmailMessage) -> None: ...


class RefusedError(Exception):
    """The message was not taken. `refusal` says what that means for it."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal


class ConsoleSender:
    """Prints mails for whoever runs Crema by hand. Not to the log, which must hold no codes."""

    def __init__(self, *, keeps_context: bool = True) -> None:
        self.keeps_context = keeps_context

    async def send(self, message: EmailMessage) -> None:
        body = message.get_body(("plain",))
        text = body.get_content() if isinstance(body, EmailMessage) else ""
        print(f"\n✉ {message['To']} · {message['Subject']}\n\n{indent(text, '    ')}", flush=True)  # noqa: T201


class SmtpSender:
    """Hands messages to the server of `smtp://user:password@host:587`, `smtps://…` or `smtp+plain://host`.

    The first two never send anything without TLS and a certificate that the system's authorities vouch for, or those
    of SSL_CERT_FILE. A server that offers no STARTTLS gets nothing.
    """

    keeps_context = False

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        deadline: float = DEADLINE_SECONDS,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = parse_smtp_url(url)
        self._timeout = timeout
        self._deadline = deadline
        self._tls_context = tls_context

    async def send(self, message: EmailMessage) -> None:
        """Hand the message to the address in its `To`; raise RefusedError when it was not taken."""
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.security == Security.TLS,
            start_tls=server.security == Security.STARTTLS,
            tls_context=self._tls_context,
            timeout=self._timeout,
        )
        stage = Stage.SESSION
        try:
            async with asyncio.timeout(self._deadline):
                await client.connect()
                envelope = await _envelope(client, message)
                await client.mail(envelope.sender, options=envelope.options)
                stage = Stage.RECIPIENT
                await client.rcpt(envelope.recipient, encoding="utf-8")
                stage = Stage.CONTENT
                await client.data(envelope.content)
        except aiosmtplib.SMTPResponseException as error:
            raise RefusedError(meaning_of(stage, error.code, error.message), f"{error.code} {error.message}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            refusal = Refusal.SERVER if stage == Stage.SESSION else Refusal.LATER
            raise RefusedError(refusal, f"{stage}: {str(error) or type(error).__name__}") from error
        finally:
            await _leave(client)


class _Envelope:
    """What is told to the server, in the spelling that it understands."""

    def __init__(self, message: EmailMessage, *, is_utf8: bool) -> None:
        self.sender: str = message["From"].addresses[0].addr_spec
        self.recipient: str = message["To"].addresses[0].addr_spec
        self.options = ["SMTPUTF8"] if is_utf8 else []
        self.content = message.as_bytes(policy=SMTP.clone(cte_type="7bit", utf8=is_utf8))


async def _envelope(client: aiosmtplib.SMTP, message: EmailMessage) -> _Envelope:
    needs_utf8 = not message["To"].addresses[0].addr_spec.isascii()
    if needs_utf8:
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if not client.supports_extension("smtputf8"):
            raise RefusedError(
                Refusal.RECIPIENT,
                "The mail server doesn't support SMTPUTF8, which this address needs: the part before @ is not ASCII.",
            )
    return _Envelope(message, is_utf8=needs_utf8)


async def _leave(client: aiosmtplib.SMTP) -> None:
    """Say goodbye, whatever becomes of it: what was taken stays taken."""
    if client.is_connected:
        try:
            async with asyncio.timeout(1):
                await client.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            pass
    client.close()
