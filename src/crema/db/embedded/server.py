"""The supervisor of one PostgreSQL server, a child process that ends with this process."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from crema.db.embedded.binaries import EmbeddedPostgresError, find_binaries, major_version
from crema.db.embedded.identity import Identity, choose_identity
from crema.db.embedded.lock import FolderLock, servers_in, wait_until

_START_SECONDS: Final = 600  # crash recovery replays up to max_wal_size, 1 GB
_INITDB_SECONDS: Final = 300
_OLD_SERVER_SECONDS: Final = 30
_ENDINGS: Final = ((signal.SIGINT, 8), (signal.SIGQUIT, 2), (signal.SIGKILL, 5))  # fast, immediate, by force
_LOG_BYTES: Final = 5_000_000
_URL_FILE: Final = "postgres.url"
_SOCKET_PATH_BYTES: Final = 107
_PORT: Final = 5432  # names the socket file only
_BUILTIN_LOCALES_SINCE: Final = 17

_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Failed statements reach the caller, who logs them. Here they would fill the disk, with personal data.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """A PostgreSQL for one machine, reached by a socket in a folder that only its owner can enter.

    Linux only: elsewhere `start` asks for CREMA_DATABASE_URL. The server ends with this process, even after
    kill -9, and keeps every committed row. `data_dir` receives the folders `postgres` (the cluster) and
    `socket`, and the files `postgres.lock` and `postgres.log`; the log is rotated at start.
    """

    def __init__(
        self, data_dir: Path, *, settings: Mapping[str, str] | None = None, binaries: Path | None = None
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._cluster = self._data_dir / "postgres"
        self._log = self._data_dir / "postgres.log"
        self._lock = FolderLock(self._data_dir / "postgres.lock")
        self._settings = {**_SETTINGS, **(settings or {})}
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_dir: Path | None = None
        self._supervisor = os.getpid()

    def start(self) -> str:
        """Start the server, after creating the cluster if there is none, and return the database's URL.

        Blocks until the server accepts connections: well under a second, minutes at worst after a crash.
        Call it from the main thread: the server ends with the thread that starts it. Starting again after the
        server has died recovers; while it runs, that changes nothing.
        """
        if sys.platform != "linux":
            raise EmbeddedPostgresError(
                "The embedded PostgreSQL runs on Linux only. Set CREMA_DATABASE_URL to a PostgreSQL server."
            )
        if threading.current_thread() is not threading.main_thread() or os.getpid() != self._supervisor:
            raise EmbeddedPostgresError("Start the embedded PostgreSQL from the main thread, before any fork.")
        if not self.is_alive():
            self.stop()
            try:
                self._start()
            except (OSError, subprocess.TimeoutExpired) as error:
                self.stop()
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL can't use {self._data_dir} ({error}). Put that right, set "
                    "CREMA_DATA_DIR to another folder, or set CREMA_DATABASE_URL."
                ) from error
            except BaseException:
                self.stop()
                raise
        url = f"postgresql://crema@/crema?host={quote(str(self._socket_dir), safe='/')}&port={_PORT}"
        (self._data_dir / _URL_FILE).write_text(url)
        return url

    def stop(self) -> None:
        """Shut down within seconds; open transactions roll back. Idempotent; no process is left."""
        if os.getpid() != self._supervisor:
            return  # a fork of the supervisor
        if self._process is not None:
            for how, seconds in _ENDINGS:
                self._process.send_signal(how)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(seconds)
                    break
            self._end_orphans()
            self._process = None
        if self._socket_dir is not None:
            (self._data_dir / _URL_FILE).unlink(missing_ok=True)
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None
        self._lock.release()

    def is_alive(self) -> bool:
        """Return whether the server still runs; it may have been killed from outside."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._lock.acquire(patience_seconds=_OLD_SERVER_SECONDS)
        binaries = self._binaries or find_binaries()
        identity = choose_identity(binaries, self._data_dir, self._cluster)
        identity.chown(self._lock.descriptor)
        if (self._cluster / "PG_VERSION").exists():
            self._check_version(binaries)
            self._remove_stale_pid_file()
            identity.own_tree(self._cluster)
        else:
            self._create_cluster(identity)
        self._socket_dir = self._make_socket_dir(identity)
        self._run_server(identity)

    def _create_cluster(self, identity: Identity) -> None:
        """Create the cluster, under another name until it is complete: an incomplete one is never used."""
        new = self._data_dir / "postgres.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        identity.chown(new)

        # C order and C.UTF-8 letters, whatever the caller's locale: otherwise Cyrillic lower() and ILIKE, or
        # the trigrams, fail silently.
        locale = ["--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"]
        if major_version(identity.binaries) >= _BUILTIN_LOCALES_SINCE:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        # Trust, for the socket's folder is the guard: "peer" would need the client's uid to have an account
        # inside the namespace, and the server's own after a setuid.
        access = ["--username=crema", "--auth-local=trust", "--auth-host=reject"]
        self._run_tool(identity, "initdb", "-D", str(new), *locale, *access)
        single_user = ["--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
        self._run_tool(identity, "postgres", *single_user, stdin="CREATE DATABASE crema\n")

        new.rename(self._cluster)
        folder = os.open(self._data_dir, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _run_tool(self, identity: Identity, program: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(  # noqa: S603 - our own command line
            identity.command(program, *arguments),
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self._lock.descriptor],
            start_new_session=True,
            timeout=_INITDB_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"{program} failed, no cluster was made: {_last_lines(done.stdout)}")

    def _check_version(self, binaries: Path) -> None:
        made_by = (self._cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        found = major_version(binaries)
        if made_by != str(found):
            raise EmbeddedPostgresError(
                f"{self._cluster} was made by PostgreSQL {made_by}, and {binaries} is version {found}. "
                f"Install version {made_by} again, or dump the data with it and restore them with the other."
            )

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file, unless a process works in the cluster, whoever started it.

        PostgreSQL won't start on a truncated one, nor on one whose pid is now a foreign process or a zombie.
        """
        if not wait_until(lambda: not servers_in(self._cluster), _OLD_SERVER_SECONDS):
            pids = " ".join(map(str, servers_in(self._cluster)))
            raise EmbeddedPostgresError(
                f"Processes of an earlier server still work in {self._cluster}. End them (kill {pids}), then "
                "start again."
            )
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _make_socket_dir(self, identity: Identity) -> Path:
        """Return a new folder for the socket: a socket lock of a zombie can't be in it."""
        folder = self._data_dir / "socket"
        if folder.exists():
            shutil.rmtree(folder)
        is_short = len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= _SOCKET_PATH_BYTES
        # Clients split the name at commas, the server at quotes: plain names only.
        if is_short and re.fullmatch(r"[\w/. +@~-]+", str(folder)):
            folder.mkdir(mode=0o700)
        else:  # not in TMPDIR, which may be as long; after a kill -9 it stays behind, empty
            folder = Path(tempfile.mkdtemp(prefix="crema-", dir="/tmp"))
        identity.chown(folder)
        return folder

    def _run_server(self, identity: Identity) -> None:
        settings = {**self._settings, "unix_socket_directories": f'"{self._socket_dir}"'}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self._open_log(identity)
        try:
            log_start = os.fstat(log).st_size
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                identity.command("postgres", "-D", str(self._cluster), *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self._lock.descriptor],
                start_new_session=True,  # Ctrl-C is ours to hear: requests under way still need the database
            )
        finally:
            os.close(log)

        process = self._process
        if not wait_until(lambda: process.poll() is not None or self._is_ready(process.pid), _START_SECONDS):
            raise EmbeddedPostgresError(f"PostgreSQL wasn't ready after {_START_SECONDS} s. See {self._log}.")
        if process.poll() is not None:
            reason = _last_lines(self._log.read_bytes()[log_start:])
            raise EmbeddedPostgresError(f"PostgreSQL did not start: {reason}. See {self._log}.")

    def _open_log(self, identity: Identity) -> int:
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_name("postgres.log.1"))
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        identity.chown(log)
        return log

    def _is_ready(self, pid: int) -> bool:
        """Return the server's state, from the eighth line of the pid file, as pg_ctl does."""
        try:
            lines = (self._cluster / "postmaster.pid").read_bytes().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [b"%d" % pid] and [line.strip() for line in lines[7:8]] == [b"ready"]

    def _end_orphans(self) -> None:
        """Kill backends that are left over; there may be some if the server itself was killed."""
        for pid in servers_in(self._cluster):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not servers_in(self._cluster), _ENDINGS[-1][1])


def find_running(data_dir: Path) -> str | None:
    """Return the URL of the server that another process runs in this folder, or None."""
    with suppress(OSError):  # a killed process may have left its URL
        url = (data_dir / _URL_FILE).read_text()
        socket_path = Path(unquote(parse_qs(urlsplit(url).query)["host"][0])) / f".s.PGSQL.{_PORT}"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(socket_path))
        return url
    return None


def _last_lines(output: bytes) -> str:
    return " ".join(output.decode(errors="replace").splitlines()[-3:]).strip().rstrip(".")
