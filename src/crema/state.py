"""Makes what features read from the application by `web.state.state_of`: values from the settings, and the database."""

import hashlib
import hmac
from datetime import UTC, datetime
from functools import partial

from obstore.store import LocalStore, ObjectStore, from_url
from starlette.applications import Starlette

from crema.accounts.deps import AccountsState
from crema.accounts.service.codes import Codes
from crema.accounts.service.logins import Logins
from crema.accounts.service.passwords import Passwords
from crema.accounts.service.tokens import AccessTokens
from crema.live.deps import LiveState
from crema.live.hub import Hub
from crema.media.deps import MediaState
from crema.media.service.rendering import Renderer
from crema.media.service.workbooks import WorkbookReader
from crema.menu.deps import MenuState
from crema.menu.service.whole_menu import WholeMenu
from crema.notifications.deps import MailState
from crema.notifications.service import delivery
from crema.notifications.service.rendering import MailRenderer
from crema.orders.deps import OrdersState
from crema.orders.domain import OrderSettings
from crema.orders.hub import OrderFeed
from crema.orders.service import closing
from crema.settings import Settings
from crema.shops.deps import ShopsState
from crema.shops.domain import Chain
from crema.support.deps import SupportState
from crema.support.hub import ConversationFeed, QueueFeed
from crema.support.service import leaving
from crema.web.cookies import Cookies
from crema.web.health import Gauges, HealthState, SchemaCheck
from crema.web.origins import Origins
from crema.web.state import DatabaseState, WebState, install, state_of


def install_settings(app: Starlette, settings: Settings) -> None:
    """Give the application all that needs no database."""
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
    """Give the application the database, and what uses it outside requests."""

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
            leaving.close_conversation,
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
        shop_language=settings.language,
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


def _derive_key(settings: Settings, purpose: str) -> bytes:
    """Return a key for one purpose, so that no two purposes ever sign with the same."""
    return hmac.digest(settings.secret(), purpose.encode(), hashlib.sha256)
