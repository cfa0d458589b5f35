"""Running a program of ours on an untrusted file, in a process of its own: `confined.py`.

The process limits its memory and time; it is killed when it takes too long, and with the server. It costs some tenths
of a second to start, nothing while nobody uploads, and what one hostile file does to it no other file meets. The file
is its stdin, so that the server never holds it in memory.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

import structlog

from crema.core.errors import CremaError

log = structlog.get_logger(__name__)

_CONFINED: Final = Path(__file__).with_name("confined.py")
_OUT_OF_TIME_OR_MEMORY: Final = (-signal.SIGXCPU, -signal.SIGKILL)
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "PATH": os.defpath}  # none of our secrets


async def run(
    program: Path,
    file: BinaryIO,
    *,
    library: str,
    limits: Mapping[str, Any],
    wall_seconds: float,
    costly: type[CremaError],
    broken: type[CremaError],
) -> bytes:
    """Return what the program makes of an open file of the operating system's.

    Raise `costly` where time or memory ran out, `broken` where the program failed otherwise. `library` is a package
    that stands in the folder of those that the program imports.
    """
    package = find_spec(library)
    assert package is not None
    assert package.origin is not None
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-S", str(_CONFINED), str(os.getpid()), str(Path(package.origin).parents[1])),
        *(json.dumps(dict(limits)), str(program)),
        stdin=file,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    try:
        async with asyncio.timeout(wall_seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        raise costly from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode in _OUT_OF_TIME_OR_MEMORY:
        raise costly
    if process.returncode:
        log.warning("confined_program_failed", program=program.stem, status=process.returncode)
        raise broken
    return output
