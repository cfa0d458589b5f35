"""Senders of messages: to an SMTP server, or to the console of a developer."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
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


class Connection(Protocol):
    """Sends messages, one after another."""

    async def send(self, message: EmailMessage) -> None:
        """Send a message to the address in its `To`. RefusedError if it is refused; the next may be accepted."""


class Sender(Protocol):
    """Opens connections for messages. `keeps_context` is whether a mail stays readable after sending."""

    keeps_context: bool

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        """Return a connection for the messages of one job. The first message opens it."""


class RefusedError(Exception):
    """The message was refused. `refusal` is what that means for the mail."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal


class ConsoleSender:
    """Prints mails to the console of a developer. They don't go to the log, which must contain no codes."""

    def __init__(self, *, keeps_context: bool = True) -> None:
        self.keeps_context = keeps_context

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Return the console as a connection."""
        yield self

    async def send(self, message: EmailMessage) -> None:
        """Print a message."""
        body = message.get_body(("plain",))
        text = body.get_content() if isinstance(body, EmailMessage) else ""
        print(f"\n✉ {message['To']} · {message['Subject']}\n\n{indent(text, '    ')}", flush=True)  # noqa: T201


class SmtpSender:
    """Sends messages to the server of `smtp://user:password@host:587`, `smtps://…` or `smtp+plain://host`.

    The first two require TLS, and a certificate of an authority that the system or SSL_CERT_FILE trusts. A server that
    offers no STARTTLS gets nothing.
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

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Return a connection. The first message opens it; if it is lost, the next message opens it again."""
        connection = _SmtpConnection(self._make_client, deadline=self._deadline)
        try:
            yield connection
        finally:
            await connection.close()

    def _make_client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.security == Security.TLS,
            start_tls=server.security == Security.STARTTLS,
            tls_context=self._tls_context,
            timeout=self._timeout,
        )


class _SmtpConnection:
    """A connection to an SMTP server, which is opened when it is needed."""

    def __init__(self, make_client: Callable[[], aiosmtplib.SMTP], *, deadline: float) -> None:
        self._make_client = make_client
        self._deadline = deadline
        self._client: aiosmtplib.SMTP | None = None
        self._needs_reset = False

    async def send(self, message: EmailMessage) -> None:
        """Send a message, over a new connection if the server ends the old one.

        Servers may limit the messages of a connection, or its time. This is no reason to count the message as refused.
        """
        is_fresh = self._client is None
        try:
            await self._send(message)
        except RefusedError as error:
            if is_fresh or error.refusal != Refusal.SERVER:
                raise
            await self._send(message)

    async def _send(self, message: EmailMessage) -> None:
        stage = Stage.SESSION
        try:
            async with asyncio.timeout(self._deadline):
                client = await self._ready_client()
                envelope = await _envelope(client, message)
                await client.mail(envelope.sender, options=envelope.options)
                self._needs_reset, stage = True, Stage.RECIPIENT
                await client.rcpt(envelope.recipient, encoding="utf-8")
                stage = Stage.CONTENT
                await client.data(envelope.content)
                self._needs_reset = False
        except aiosmtplib.SMTPResponseException as error:
            if stage == Stage.SESSION:
                await self.close()
            raise RefusedError(meaning_of(stage, error.code, error.message), f"{error.code} {error.message}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            await self.close()
            refusal = Refusal.SERVER if stage == Stage.SESSION else Refusal.LATER
            raise RefusedError(refusal, f"{stage}: {str(error) or type(error).__name__}") from error

    async def _ready_client(self) -> aiosmtplib.SMTP:
        """Return a connected client that is not in the middle of a message."""
        if self._client is None:
            self._client, self._needs_reset = self._make_client(), False
            await self._client.connect()
        elif self._needs_reset:
            await self._client.rset()
            self._needs_reset = False
        return self._client

    async def close(self) -> None:
        """Close the connection. Errors are ignored, because accepted messages stay accepted."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await client.quit()
        client.close()


class _Envelope:
    """The addresses of a message, as the server can read them."""

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
