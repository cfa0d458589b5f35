"""Makes what features read from the application by `web.state.state_of`: values from the settings, and the database."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import email_validator
from obstore.store import LocalStore, ObjectStore, from_url
from starlette.applications import Starlette

from crema import worker
from crema.accounts.deps import AccountsState
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import Logins
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.tokens import AccessTokens
from crema.db.driver import (
    HEALTH_CONNECTIONS,
    IDENTITY_CONNECTIONS,
    READ_SETTINGS,
    SEARCH_SETTINGS,
    WRITE_SETTINGS,
    Connections,
    PoolReader,
    Reader,
    open_pool,
)
from crema.db.hints import Bus
from crema.db.session import Sessions, make_autocommit_sessions, make_engine, make_sessions
from crema.live import hub as live
from crema.live.deps import LiveState
from crema.live.hub import Hub
from crema.media.deps import MediaState
from crema.media.service import MediaService
from crema.media.service.rendering import Renderer
from crema.media.service.workbooks import WorkbookReader
from crema.menu.deps import MenuState
from crema.menu.service.whole_menu import WholeMenu
from crema.notifications.deps import MailState
from crema.notifications.service import delivery
from crema.notifications.service.rendering import MailRenderer
from crema.notifications.service.senders import ConsoleSender, SmtpSender
from crema.orders.deps import OrdersState
from crema.orders.domain import OrderSettings
from crema.orders.hub import OrderFeed
from crema.orders.service import closing
from crema.settings import Settings
from crema.shops.deps import ShopsState
from crema.shops.domain import Chain
from crema.support.deps import SupportState
from crema.support.hub import ConversationFeed, QueueFeed
from crema.support.service import deletion
from crema.web.cookies import Cookies
from crema.web.health import Gauges, HealthState, SchemaCheck
from crema.web.origins import Origins
from crema.web.state import DatabaseState, WebState, install, state_of
from crema.worker import WorkerContext


def install_settings(app: Starlette, settings: Settings) -> None:
    """Install the parts that need no database, and what a library keeps for the whole process."""
    # Addresses under .test, which RFC 2606 keeps for trying things out.
    email_validator.TEST_ENVIRONMENT = not settings.is_production
    install(
        app,
        _web_state(settings),
        HealthState(metrics_networks=settings.metrics_networks, schema=SchemaCheck(), gauges=Gauges(delivery.measure)),
        _accounts_state(settings),
        MailState(mail_renderer=make_mail_renderer(settings)),
        MediaState(store=open_media(settings), renderer=Renderer()),
        _shops_state(settings),
        MenuState(whole_menu=WholeMenu(), workbooks=WorkbookReader()),
    )


def install_database(app: Starlette, settings: Settings, database: DatabaseState) -> None:
    """Install the database, and the parts that use it outside requests."""

    def now() -> datetime:
        return state_of(app, WebState).clock()

    hub = Hub(sessions=database.live_sessions, clock=now)
    install(
        app,
        database,
        LiveState(hub=hub),
        OrdersState(settings=_order_settings(settings), feed=OrderFeed(hub)),
        SupportState(conversations=ConversationFeed(hub), queue=QueueFeed(hub)),
    )


def _web_state(settings: Settings) -> WebState:
    return WebState(
        clock=lambda: datetime.now(UTC),
        cookies=Cookies(
            key=_derive_key(settings, "csrf tokens"),
            is_secure=settings.is_production or settings.links_to.startswith("https:"),
        ),
        origins=Origins(
            settings.allowed_origins, public_url=settings.public_url, allows_localhost=not settings.is_production
        ),
        public_url=settings.public_url,
        security_contacts=settings.security_contact,
    )


def _accounts_state(settings: Settings) -> AccountsState:
    return AccountsState(
        passwords=Passwords(),
        codes=Codes(_derive_key(settings, "one-time codes")),
        logins=Logins(
            refresh_key=_derive_key(settings, "refresh tokens"),
            lifetime=settings.refresh_ttl,
            access_tokens=AccessTokens(_derive_key(settings, "access tokens"), settings.access_ttl),
            tries_per_network=settings.login_tries_per_network,
        ),
        registrations_per_network=settings.registrations_per_network,
        before_deletion=(
            partial(closing.close_orders, shop_language=settings.language),
            deletion.close_conversation,
        ),
    )


def _shops_state(settings: Settings) -> ShopsState:
    return ShopsState(
        chain=Chain(
            name=settings.chain_name,
            description=settings.chain_description,
            email=settings.contact_email,
            phone=settings.contact_phone,
            social_links=settings.social_links,
            currency=settings.currency,
        ),
        before_closing=(partial(closing.close_orders_of_shop, shop_language=settings.language),),
    )


def _order_settings(settings: Settings) -> OrderSettings:
    return OrderSettings(
        currency=settings.currency,
        max_open_orders=settings.max_open_orders,
        max_orders_an_hour=settings.max_orders_an_hour,
        minimum=settings.minimum_order,
        quote_key=_derive_key(settings, "quotes"),
    )


def make_mail_renderer(settings: Settings) -> MailRenderer:
    """Return what renders mails in the name of the chain."""
    return MailRenderer(sender=settings.mail_from, chain=settings.chain_name, link=settings.links_to)


def open_media(settings: Settings) -> ObjectStore:
    """Open the store of files: `media_url`, or a folder of `data_dir`."""
    if settings.media_url:
        if settings.media_url.startswith("file:"):
            return from_url(settings.media_url, mkdir=True)
        return from_url(settings.media_url)
    return LocalStore(settings.data_dir / "media", mkdir=True)


def make_worker_context(settings: Settings, sessions: Sessions, *, statements: Reader) -> WorkerContext:
    """Return what the worker's tasks need."""
    media = MediaService(open_media(settings), Renderer())
    return WorkerContext(
        database_url=settings.database_url or "",
        sessions=sessions,
        statements=statements,
        sender=(
            SmtpSender(settings.smtp_url.get_secret_value())
            if settings.smtp_url
            else ConsoleSender(keeps_context=not settings.is_production)
        ),
        mail_renderer=make_mail_renderer(settings),
        media=media,
        consumers=worker.consumers(shop_language=settings.language),
        erasures=worker.erasures(media),
        unverified_ttl=settings.unverified_ttl,
        erase_after=settings.erase_after,
        accept_within=settings.accept_within,
        chat_url=settings.chat_link,
    )


@asynccontextmanager
async def open_database(settings: Settings, *, bus: Bus) -> AsyncIterator[DatabaseState]:
    """Open a server process's connections until this context ends; `startup.connections_of` counts them."""
    url = settings.database_url or ""
    pool_size = max(2, settings.database_pool // 2)
    async with AsyncExitStack() as stack:

        def open_sessions(size: int) -> Sessions:
            engine = make_engine(url, pool_size=size)
            stack.push_async_callback(engine.dispose)
            return make_sessions(engine, bus=bus)

        async def open_connections(size: int, limits: Mapping[str, str]) -> Connections:
            return await stack.enter_async_context(open_pool(url, size=size, settings=limits))

        sessions = open_sessions(settings.database_pool)
        yield DatabaseState(
            sessions=sessions,
            autocommit_sessions=make_autocommit_sessions(sessions),
            live_sessions=open_sessions(live.CONNECTIONS),
            reader=PoolReader(
                await open_connections(pool_size, READ_SETTINGS),
                searching=await open_connections(pool_size, SEARCH_SETTINGS),
            ),
            identity_reader=PoolReader(await open_connections(IDENTITY_CONNECTIONS, READ_SETTINGS)),
            health_reader=PoolReader(await open_connections(HEALTH_CONNECTIONS, READ_SETTINGS)),
            writing=await open_connections(pool_size, WRITE_SETTINGS),
            bus=bus,
        )


def _derive_key(settings: Settings, purpose: str) -> bytes:
    """Return a key for one purpose, so that no two purposes ever sign with the same."""
    return hmac.digest(settings.secret(), purpose.encode(), hashlib.sha256)
