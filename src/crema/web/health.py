"""Routes for orchestrators and Prometheus: liveness, readiness, metrics."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Literal, Protocol

import asyncpg
import structlog
from fastapi import Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from crema.core.errors import ForbiddenError
from crema.db.schema import is_current
from crema.db.session import Sessions
from crema.schemas import Output
from crema.web import problem
from crema.web.clock import Now
from crema.web.routing import make_router
from crema.web.state import DatabaseState, state_of

log = structlog.get_logger(__name__)

READY_SECONDS: Final = 2.0
_FORWARDED: Final = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip", "true-client-ip"}
)
"""Headers that proxies add."""
MEASURE_EVERY: Final = timedelta(seconds=5)

router = make_router("Operations")


class OutdatedSchemaError(RuntimeError):
    """The database isn't migrated yet, or was migrated by a newer version."""


class MetricsPrivateError(ForbiddenError):
    """Somebody outside CREMA_METRICS_NETWORKS, or a proxy, asked for the metrics."""

    code = "metrics_private"
    title = "The metrics are private."
    advice = "Ask for them directly, from a network of `CREMA_METRICS_NETWORKS`."


class HealthOut(Output):
    """The answer if all is well; otherwise it is a problem document."""

    status: Literal["ok"] = "ok"


class SchemaCheck:
    """Checks the schema until it is this version's: it can't get outdated while the process runs."""

    def __init__(self) -> None:
        self._is_current = False

    async def check(self, sessions: Sessions) -> None:
        """Raise OutdatedSchemaError if the schema is another version's."""
        if self._is_current:
            return
        async with sessions() as session:
            connection = await session.connection()
            self._is_current = await connection.run_sync(is_current)
        if not self._is_current:
            raise OutdatedSchemaError


class Measure(Protocol):
    """Sets gauges from what is in the database."""

    async def __call__(self, sessions: Sessions, *, now: datetime) -> None:
        """Set them."""


class Gauges:
    """The gauges of what is in the database."""

    def __init__(self, *measures: Measure) -> None:
        self._measures = measures
        self._refreshed_at: datetime | None = None

    async def refresh(self, sessions: Sessions, *, now: datetime) -> None:
        """Set the gauges, every MEASURE_EVERY at most. They keep their values if the database can't be asked."""
        if self._refreshed_at is not None and self._refreshed_at <= now < self._refreshed_at + MEASURE_EVERY:
            return
        self._refreshed_at = now
        try:
            async with asyncio.timeout(READY_SECONDS):
                for measure in self._measures:
                    await measure(sessions, now=now)
        except (*problem.DATABASE_UNAVAILABLE, asyncpg.PostgresError, SQLAlchemyError) as error:
            log.warning("not_measured", error=repr(error)[:300])


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthState:
    """What these routes read from the application."""

    metrics_networks: Sequence[IPv4Network | IPv6Network]
    schema: SchemaCheck
    gauges: Gauges


@router.get("/health/live", summary="Tell whether the process is alive", responses=problem.error_responses(422))
async def check_liveness() -> HealthOut:
    """Doesn't ask the database: a restart would not cure it."""
    return HealthOut()


@router.get(
    "/health/ready",
    summary="Tell whether requests can be served",
    response_model=HealthOut,
    responses=problem.error_responses(422, 503),
)
async def check_readiness(request: Request) -> HealthOut | Response:
    """The database answers within two seconds, and its schema is the one this code knows."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await _check_database(request.app)
    except (*problem.DATABASE_UNAVAILABLE, asyncpg.PostgresError, SQLAlchemyError, OutdatedSchemaError) as error:
        return await problem.unavailable(request, error)
    return HealthOut()


async def _check_database(app: Starlette) -> None:
    """Ask on a connection of its own: a server whose other connections wait for one slow table still works."""
    database = state_of(app, DatabaseState)
    await database.health_reader.fetch("SELECT 1")
    await state_of(app, HealthState).schema.check(database.sessions)


@router.get(
    "/metrics",
    summary="Read the metrics",
    response_class=PlainTextResponse,
    responses=problem.error_responses(403, 422),
)
async def read_metrics(request: Request, now: Now) -> Response:
    """In Prometheus' text format; those of all server processes where `PROMETHEUS_MULTIPROC_DIR` is set.

    Only for the networks of `CREMA_METRICS_NETWORKS`, this machine by default, and never through a proxy.
    """
    if not _may_read_metrics(request):
        raise MetricsPrivateError
    await state_of(request.app, HealthState).gauges.refresh(state_of(request.app, DatabaseState).sessions, now=now)
    return Response(generate_latest(_registry()), media_type=CONTENT_TYPE_LATEST)


def _may_read_metrics(request: Request) -> bool:
    if not _FORWARDED.isdisjoint(request.headers):
        return False  # behind a proxy that isn't trusted all clients have the proxy's address
    networks = state_of(request.app, HealthState).metrics_networks
    try:
        client = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no annotations
    return registry
