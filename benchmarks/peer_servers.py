"""What Crema is compared with: each peer serves the same tables from a folder and a locked environment of its own.

All start as their server's documentation says. Django: `gunicorn app:application` with sync workers, twice the cores
and one (docs.djangoproject.com/en/stable/howto/deployment/wsgi/gunicorn/, gunicorn.org/design), and persistent
connections to the database (docs.djangoproject.com/en/stable/ref/databases/#persistent-connections). FastAPI: one
process of `uvicorn[standard]`, which is uvloop and httptools (fastapi.tiangolo.com/deployment/manually/).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx2
import jwt
from data import Person
from measuring import CORES, Target

from fixtures.ports import free_port

FOLDER: Final = Path(__file__).parent / "peers"
LIMIT: Final = "bare ASGI + asyncpg"
ORM: Final = "FastAPI, async ORM"
DRF: Final = "Django REST framework"
NINJA: Final = "django-ninja"

_GUNICORN: Final = [
    ".venv/bin/gunicorn",
    "app:application",
    "--bind",
    "127.0.0.1:PORT",
    "--workers",
    str(2 * CORES + 1),
]
_COMMANDS: Final = {
    LIMIT: ("", [sys.executable, "-m", "uvicorn", "limit:app", "--port", "PORT", "--no-access-log"]),
    ORM: ("fastapi_orm", [".venv/bin/uvicorn", "app:app", "--port", "PORT"]),
    DRF: ("drf", [*_GUNICORN, "--no-control-socket"]),
    NINJA: ("ninja", [*_GUNICORN, "--no-control-socket"]),
}
_KEY: Final = "a key of the peer's own, of more than 32 bytes"


def headers_of(person: Person) -> dict[str, str]:
    """What shows the ORM peer who is asking: it signs tokens with a key of its own."""
    token = jwt.encode({"sub": str(person.id), "exp": datetime.now(UTC) + timedelta(days=1)}, _KEY, "HS256")
    return {"Authorization": f"Bearer {token}"}


def install(peer: str) -> None:
    """Make a peer's environment from its lock, if it isn't there."""
    folder, _ = _COMMANDS[peer]
    if folder:
        own = Path(".uv/bin/uv").absolute()
        kept = {name: value for name, value in os.environ.items() if name != "UV_PROJECT_ENVIRONMENT"}
        command = [str(own) if own.exists() else "uv", "sync", "--quiet", "--locked", "--python", sys.executable]
        subprocess.run(command, cwd=FOLDER / folder, env=kept, check=True)


@contextmanager
def served(peer: str, database_url: str, postgres: int, *, asking: str) -> Iterator[Target]:
    """Start a peer and wait until it answers this path."""
    install(peer)
    folder, command = _COMMANDS[peer]
    url = f"http://127.0.0.1:{(port := free_port())}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [part.replace("PORT", str(port)) for part in command],
            cwd=FOLDER / folder,
            env=os.environ | {"DATABASE_URL": database_url, "SECRET_KEY": _KEY, "PYTHONPATH": "."},
            stdout=log,
            stderr=log,
        )
        try:
            answer = httpx2.Response(503)
            for _ in range(200):
                try:
                    answer = httpx2.get(f"{url}{asking}", timeout=20)
                    break
                except httpx2.TransportError:
                    time.sleep(0.1)
            log.seek(0)
            assert answer.status_code == 200, f"{peer}: {log.read()[-3000:]}"
            yield Target(peer, url, process.pid, postgres)
        finally:
            process.terminate()
            process.wait(10)
