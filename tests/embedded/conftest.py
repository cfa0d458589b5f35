"""Folders for clusters. Each test has a copy of one cluster, made once."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crema.db.embedded import EmbeddedPostgres
from crema.db.embedded.lock import servers_in
from embedded.supervisor import UNSAFE_BUT_FAST

MEMORY = Path("/dev/shm")  # noqa: S108 - through mkdtemp only
ROOM_BYTES = 1_000_000_000


def _fastest_place() -> Path | None:
    """Name the folder in memory, if it has room and lets programs run: a cluster is 1,300 files."""
    if not MEMORY.exists() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="crema-test-", dir=_fastest_place()))
    folder.chmod(0o755)  # pytest's own, 0700, would keep a server out that runs as another uid than root
    return folder


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """Yield a cluster with one row in it."""
    folder = _new_folder()
    server = EmbeddedPostgres(folder, settings=UNSAFE_BUT_FAST)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE coffees AS SELECT 'Раф' AS name")
    server.stop()
    yield folder / "postgres"
    shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield an empty folder that every uid can reach; afterwards no server may be left in it."""
    folder = _new_folder()
    yield folder
    left = [pid for cluster in folder.rglob("postgres") for pid in servers_in(cluster)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)
    assert not left


@pytest.fixture
def data_dir(folder: Path, template: Path) -> Path:
    shutil.copytree(template, folder / "data" / "postgres")
    return folder / "data"
