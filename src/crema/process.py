"""What a server process and a worker process run."""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from contextlib import suppress

from fastapi import FastAPI

from crema import logs, worker
from crema.app import create_app
from crema.db.driver import WRITE_SETTINGS, PoolReader, open_pool
from crema.db.hints import open_bus
from crema.db.session import make_engine, make_sessions
from crema.settings import Settings
from crema.state import make_worker_context


def make_server_app() -> FastAPI:
    """Build the application from CREMA_ variables, as each server process does."""
    settings = Settings()
    logs.configure(settings.log_format or ("json" if settings.is_production else "console"))
    app = create_app(settings)
    _end_with_parent()
    # What is here now stays for good. A full collection that looked at it took 150 ms: every fifteenth `GET /products`.
    gc.collect()
    gc.freeze()
    return app


def _end_with_parent() -> None:
    """End, as at SIGTERM, when the process that started this one is gone: it would keep the port for good."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


async def run_worker(settings: Settings) -> None:
    """Work as a process of its own, until SIGTERM or Ctrl-C."""
    engine = make_engine(settings.database_url or "", pool_size=worker.CONCURRENCY + 2)
    bus = open_bus(settings.events_url, database_url=settings.database_url or "")
    async with open_pool(settings.database_url or "", size=worker.CONCURRENCY, settings=WRITE_SETTINGS) as writing:
        context = make_worker_context(settings, make_sessions(engine, bus=bus), statements=PoolReader(writing))
        task = asyncio.create_task(worker.run(context))
        for wanted in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(wanted, task.cancel)
        async with bus.subscribed(lambda _: None):
            with suppress(asyncio.CancelledError):
                await task
    await engine.dispose()
