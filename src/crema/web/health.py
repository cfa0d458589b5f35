"""What orchestrators and Prometheus ask: are you alive, can you serve, how are you doing."""

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Literal

import asyncpg
import structlog
from fastapi import Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from crema.core.errors import ForbiddenError
from crema.db.driver import Reader
from crema.db.schema import is_current
from crema.schemas import Output
from crema.web import problem
from crema.web.clock import Now
from crema.web.routing import make_router

log = structlog.get_logger(__name__)

READY_SECONDS: Final = 2.0
_FORWARDED: Final = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip", "true-client-ip"}
)
"""Headers by which proxies show themselves."""
MEASURE_EVERY: Final = timedelta(seconds=5)

router = make_router("Operations")


class OutdatedSchemaError(RuntimeError):
    """The database waits for `crema migrate`, or was migrated by newer code."""


class MetricsPrivateError(ForbiddenError):
    """Somebody outside CREMA_METRICS_NETWORKS, or a proxy, asked for the metrics."""

    code = "metrics_private"
    title = "The metrics are private."
    advice = "Ask for them directly, from a network of `CREMA_METRICS_NETWORKS`."


class HealthOut(Output):
    """All is well; otherwise there is a problem document."""

    status: Literal["ok"] = "ok"


@router.get("/health/live", summary="Tell whether the process is alive", responses=problem.refusals(422))
async def check_liveness() -> HealthOut:
    """Doesn't ask the database: a restart would not cure it."""
    return HealthOut()


@router.get(
    "/health/ready",
    summary="Tell whether requests can be served",
    response_model=HealthOut,
    responses=problem.refusals(422, 503),
)
async def check_readiness(request: Request) -> HealthOut | Response:
    """The database answers within two seconds, and its schema is the one this code knows."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await _check_database(request.app)
    except (*problem.DATABASE_AWAY, asyncpg.PostgresError, SQLAlchemyError, OutdatedSchemaError) as error:
        return await problem.unavailable(request, error)
    return HealthOut()


async def _check_database(app: Starlette) -> None:
    """Ask on a connection of its own: a server whose others all wait for one slow table still serves the rest."""
    reader: Reader = app.state.health_reader
    await reader.fetch("SELECT 1")
    if not getattr(app.state, "schema_is_current", False):
        async with app.state.sessions() as session:
            connection = await session.connection()
            if not await connection.run_sync(is_current):
                raise OutdatedSchemaError
            app.state.schema_is_current = True  # it doesn't grow old while this code runs


@router.get(
    "/metrics", summary="Read the metrics", response_class=PlainTextResponse, responses=problem.refusals(403, 422)
)
async def read_metrics(request: Request, now: Now) -> Response:
    """In Prometheus' text format; those of all server processes where `PROMETHEUS_MULTIPROC_DIR` is set.

    Only for the networks of `CREMA_METRICS_NETWORKS`, this machine by default, and never through a proxy.
    """
    if not _may_read_metrics(request):
        raise MetricsPrivateError
    await _measure(request.app, now)
    return Response(generate_latest(_registry()), media_type=CONTENT_TYPE_LATEST)


def _may_read_metrics(request: Request) -> bool:
    if not _FORWARDED.isdisjoint(request.headers):
        return False  # behind a proxy that isn't trusted everybody has the proxy's address
    networks: Sequence[IPv4Network | IPv6Network] = request.app.state.metrics_networks
    try:
        client = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)


async def _measure(app: Starlette, now: datetime) -> None:
    """Bring the gauges of what is in the database up to date, every few seconds at most; without it they stay."""
    last: datetime | None = getattr(app.state, "measured_at", None)
    if last is not None and last <= now < last + MEASURE_EVERY:
        return
    app.state.measured_at = now
    try:
        async with asyncio.timeout(READY_SECONDS):
            for measure in app.state.measures:
                await measure(app.state.sessions, now=now)
    except (*problem.DATABASE_AWAY, asyncpg.PostgresError, SQLAlchemyError) as error:
        log.warning("not_measured", error=repr(error)[:300])


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no annotations
    return registry
