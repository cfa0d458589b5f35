"""Settings: environment variables with the prefix CREMA_, read once and frozen."""

import re
import secrets
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from zxcvbn import zxcvbn

from crema.notifications.domain import parse_sender, parse_smtp_url

MIN_SECRET_BYTES: Final = 32
MIN_DISTINCT_CHARACTERS: Final = 8
"""The least number of different characters in a secret: 32 random hexadecimal digits have more."""
KNOWN_SECRETS: Final = frozenset(
    {
        "for-a-look-only-for-a-look-only-for-a-look",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    }
)
"""The secrets of deploy/demo.env and of FastAPI's tutorial."""
MIN_GUESSES_LOG10: Final = 20
"""The logarithm of the guesses that a secret must need by zxcvbn's estimate; 32 random hexadecimal digits have 29."""
PHRASE_WORDS: Final = ("change", "secret", "password", "insecure", "example", "replace", "default", "qwerty", "openssl")
"""Words that a random secret doesn't contain."""
MAX_ESTIMATED: Final = 72
"""How many characters of a secret zxcvbn looks at."""
CONVERSATION: Final = "{conversation_id}"
_SECRETS: Final = "/run/secrets"
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _parse_duration(value: Any) -> Any:
    """Return the duration of `48h`, `15m`, `30s`, `2d` or `0`; any other value as it is, for Pydantic."""
    if value == "0":
        return timedelta()
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)([smhd])", value.strip())):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _is_weak(secret: str) -> bool:
    """Return whether a secret has few different characters, a pattern or words, or is published."""
    periods = range(1, len(secret) // 2 + 1)
    is_periodic = any(secret[period:] == secret[:-period] for period in periods)
    is_guessed = zxcvbn(secret[:MAX_ESTIMATED])["guesses_log10"] < MIN_GUESSES_LOG10
    is_phrase = any(word in secret.lower() for word in PHRASE_WORDS) or any(map(str.isspace, secret))
    few = len(set(secret)) < MIN_DISTINCT_CHARACTERS
    return few or is_periodic or is_phrase or secret in KNOWN_SECRETS or bool(is_guessed)


def _as_contact(value: str) -> str:
    """Return a contact as a URL: an e-mail address may come without `mailto:`."""
    value = value if ":" in value else f"mailto:{value}"
    if not re.fullmatch(r"(mailto:[^@\s]+@[^@\s]+|https://\S+|tel:\+?[0-9-]+)", value) or not value.isascii():
        raise ValueError("a contact is an e-mail address, or begins with mailto:, https:// or tel:")
    return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Networks = Annotated[list[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_split)]
Contacts = Annotated[list[Annotated[str, AfterValidator(_as_contact)]], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """All settings with their defaults and descriptions, of which the README's table is generated."""

    # A secret of Docker or Kubernetes, such as /run/secrets/crema_secret_key, is read like a variable.
    model_config = SettingsConfigDict(
        env_prefix="CREMA_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        secrets_dir=_SECRETS if Path(_SECRETS).is_dir() else None,
    )

    env: Literal["development", "production"] = Field(
        "development", description="`production` refuses to start on missing or weak settings."
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs tokens; at least 32 random bytes (`openssl rand -hex 32`). In development one is made and"
        " kept in the data folder.",
    )
    database_url: str | None = Field(
        None, description="PostgreSQL 15 to 18. Without it an embedded one runs in the data folder."
    )
    migration_url: str | None = Field(
        None,
        description="The same database for `crema migrate`, as the role that owns the tables, where"
        " `database_url` is of the role `crema_app`, which can't change tables.",
    )
    events_url: str | None = Field(
        None,
        pattern="^(nats|tls)://",
        description="`nats://…` carries live events between processes; without it the database does.",
    )
    embedded: bool = Field(
        default=False, description="Choose the embedded PostgreSQL in production, where it is never the default."
    )
    data_dir: Path = Field(Path(".crema"), description="Embedded database, development secret, pictures.")
    media_url: str | None = Field(
        None, description="Where files are stored: `file:///…`, `s3://…`; the data folder by default."
    )
    public_url: str | None = Field(None, description="Public address of the server, for links in mails.")
    chat_url: str | None = Field(
        None,
        description="Where your front end shows a conversation, for mails about answers:"
        " `https://app.example.com/chat/{conversation_id}`. Without the placeholder `?conversation_id=…` is appended."
        " By default `/chat/{conversation_id}` at `public_url`.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    database_pool: int = Field(
        10,
        ge=1,
        le=100,
        description="Database connections of a server process; half as many again each to read, to search, and for "
        "carts and orders, and a dozen for authentication, health checks and sockets.",
    )
    run_worker: bool = Field(
        default=True, description="Deliver mail and run schedules inside `crema serve`; else run `crema worker`."
    )
    trusted_proxies: CommaList = Field(
        [], description="Addresses of proxies whose `X-Forwarded-For` is trusted, separated by commas."
    )
    allowed_origins: CommaList = Field(
        [],
        description="Further origins of front ends, `https://app.example.com`, separated by commas: for CORS, cookies"
        " and WebSockets. In development every port of localhost is allowed, too.",
    )
    allowed_hosts: CommaList = Field(
        [], description="Host names of the server, `api.example.com` or `*.example.com`; any by default."
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="`smtp://user:password@host:587` (STARTTLS, required), `smtps://…` (TLS). Certificates are checked."
        " `smtp+plain://host:25`, without a password, sends without encryption: for a server on the same machine"
        " or network. Without it mails go to the console.",
    )
    mail_from: str = Field(
        "Crema <noreply@crema.example.com>",
        description='Sender of mails; a name with a comma is quoted: `"Coffee, Bar" <noreply@example.com>`.',
    )
    mail_to_console: bool = Field(
        default=False,
        description="Start in production without `smtp_url`: mails, with the codes in them, are printed.",
    )
    admin_email: str | None = Field(None, description="First administrator, made at first start.")
    admin_password: SecretStr | None = Field(None, description="Their password.")
    demo: bool | None = Field(
        None, description="Seed the demo chain at start. On by default in development, refused in production."
    )
    unverified_ttl: Duration = Field(
        timedelta(hours=48), gt=timedelta(0), description="Unverified people older than this are deleted."
    )
    erase_after: Duration = Field(
        timedelta(days=30),
        ge=timedelta(0),
        description=(
            "How long after a deletion the person's texts and files in the chat and in orders are erased, and how "
            "long the names of orders at the counter are kept."
        ),
    )
    accept_within: Duration = Field(
        timedelta(minutes=10),
        ge=timedelta(0),
        description="An order by app that no shop accepts within so much open time expires; `0` is never.",
    )
    access_ttl: Duration = Field(timedelta(minutes=10), gt=timedelta(0), description="Life of an access token.")
    refresh_ttl: Duration = Field(timedelta(days=30), gt=timedelta(0), description="Life of a login.")
    metrics_networks: Networks = Field(
        [IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")],
        description="Networks that may read `/metrics`, separated by commas; this machine by default. Requests that"
        " come through a proxy may never read them.",
    )
    docs: bool = Field(
        default=True, description="Serve `/docs`, `/redoc`, `/openapi.json` and `/asyncapi.json`, in production too."
    )
    security_contact: Contacts = Field(
        [],
        description="Where to report a vulnerability: e-mail addresses or `https://…`, separated by commas; makes"
        " `/.well-known/security.txt`.",
    )
    rate_limit: str | None = Field(
        "6000/minute",
        pattern=r"^[1-9]\d{0,8} ?/ ?(second|minute|hour)$",
        description="How many requests a client may send; empty for no limit.",
    )
    limits_url: str = Field(
        "memory://",
        pattern="^(memory|redis|rediss)://",
        description="Where requests are counted: `memory://` in each process, `redis://…` (or Valkey) for all of them.",
    )
    login_tries_per_network: int = Field(
        100,
        ge=1,
        description="How many wrong passwords are accepted from one network in 15 minutes, for all accounts together;"
        " past them one login every five seconds.",
    )
    registrations_per_network: int = Field(
        100, ge=1, description="How many registrations are accepted from one network in an hour."
    )
    language: Literal["ru", "en"] = Field("ru", description="Language of the mails to shops' mailboxes.")
    max_open_orders: int = Field(50, ge=1, description="Orders a person may have in progress.")
    max_orders_an_hour: int = Field(30, ge=1, description="Orders a person may place within an hour.")
    minimum_order: Decimal = Field(Decimal(0), ge=0, description="Smallest total of an order.")
    chain_name: str = Field("Crema", description="Name of the chain, in `/info` and mails.")
    chain_description: str = Field("Coffee to take away, ordered ahead.", description="Shown in `/info`.")
    contact_email: str | None = Field(None, description="Shown in `/info`.")
    contact_phone: str | None = Field(None, description="Shown in `/info`.")
    social_links: dict[str, str] = Field({}, description='Shown in `/info`; JSON: `{"telegram": "https://…"}`.')
    currency: str = Field("RUB", pattern="^[A-Z]{3}$", description="ISO 4217 code of all amounts.")
    log_format: Literal["console", "json"] | None = Field(
        None, description="`json` by default in production, `console` in development."
    )

    @field_validator(
        *(
            "admin_email",
            "admin_password",
            "chat_url",
            "database_url",
            "events_url",
            "media_url",
            "migration_url",
            "rate_limit",
            "smtp_url",
        ),
        mode="before",
    )
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("allowed_origins")
    @classmethod
    def _origins_as_browsers_send_them(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme and host, such as https://app.example.com,"
                    " in small letters, without a path, a slash at the end or *"
                )
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_sender(cls, value: str) -> str:
        return str(parse_sender(value))

    @field_validator("smtp_url")
    @classmethod
    def _smtp_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_smtp_url(value.get_secret_value())
        return value

    @field_validator("chat_url")
    @classmethod
    def _link_to_chat(cls, value: str | None) -> str | None:
        if value is not None and (
            not re.fullmatch(r"https?://[^\s/]\S*", value) or re.search("[{}]", value.replace(CONVERSATION, ""))
        ):
            raise ValueError(
                "it must be an address such as https://app.example.com/chat/{conversation_id},"
                " with no other placeholder"
            )
        return value

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        secret = self.secret_key.get_secret_value()
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"CREMA_SECRET_KEY must have at least {MIN_SECRET_BYTES} bytes")
        if not self.is_production:
            return self
        if not secret:
            raise ValueError("CREMA_SECRET_KEY is required in production: `openssl rand -hex 32` makes one")
        if _is_weak(secret):
            raise ValueError("CREMA_SECRET_KEY is easy to guess or published: `openssl rand -hex 32` makes one")
        if self.smtp_url is None and not self.mail_to_console:
            raise ValueError("set CREMA_SMTP_URL, or CREMA_MAIL_TO_CONSOLE=true to have mails and their codes printed")
        if self.demo:
            raise ValueError("CREMA_DEMO creates accounts with known passwords, which is not allowed in production")
        if self.database_url is None and not self.embedded:
            raise ValueError("set CREMA_DATABASE_URL, or CREMA_EMBEDDED=true to choose the embedded PostgreSQL")
        return self

    @property
    def is_production(self) -> bool:
        """Whether weak settings are refused and development pages absent."""
        return self.env == "production"

    @property
    def is_exposed(self) -> bool:
        """Whether a development server can be reached from other machines."""
        if self.is_production or self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return True

    @property
    def has_demo(self) -> bool:
        """Whether the demo chain is seeded at start."""
        return (not self.is_production) if self.demo is None else self.demo

    @property
    def has_mailbox(self) -> bool:
        """Whether the page /mailbox shows the mails that no SMTP server is there to send."""
        return not self.is_production and self.smtp_url is None

    @property
    def links_to(self) -> str:
        """The address of the server for links, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def chat_link(self) -> str:
        """The address of a conversation, with the placeholder `{conversation_id}` in it."""
        url = self.chat_url or f"{self.links_to}/chat/{CONVERSATION}"
        if CONVERSATION in url:
            return url
        return f"{url}{'&' if '?' in url else '?'}conversation_id={CONVERSATION}"

    def secret(self) -> bytes:
        """Return the signing secret. In development it is made at first use, and kept in the data folder."""
        if configured := self.secret_key.get_secret_value():
            return configured.encode()
        path = self.data_dir / "secret_key"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(MIN_SECRET_BYTES))
        return path.read_bytes()
