"""Running one of our programs on an untrusted file in a process of its own, which executes `sandbox.py`.

The process limits its memory and time. It is killed when it takes too long, and when the server ends. Starting it takes
some tenths of a second; without uploads there is no process. Each file gets a new process, so a hostile file can't
affect other files. The file is stdin, so that the server doesn't hold it in memory.
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

_SANDBOX: Final = Path(__file__).with_name("sandbox.py")
_OUT_OF_TIME_OR_MEMORY: Final = (-signal.SIGXCPU, -signal.SIGKILL)
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "PATH": os.defpath}  # without the server's secrets


async def run(
    program: Path,
    file: BinaryIO,
    *,
    library: str,
    limits: Mapping[str, Any],
    wall_seconds: float,
    costly_error: type[CremaError],
    broken_error: type[CremaError],
) -> bytes:
    """Return the program's output for an open file, which must have a file descriptor.

    Raise `costly_error` if time or memory ran out, `broken_error` if the program failed otherwise. `library` is a
    package in the folder from which the program imports its libraries.
    """
    package = find_spec(library)
    assert package is not None
    assert package.origin is not None
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-S", str(_SANDBOX), str(os.getpid()), str(Path(package.origin).parents[1])),
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
        raise costly_error from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode in _OUT_OF_TIME_OR_MEMORY:
        raise costly_error
    if process.returncode:
        log.warning("sandboxed_program_failed", program=program.stem, status=process.returncode)
        raise broken_error
    return output
