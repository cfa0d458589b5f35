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

_CONFINED: Final = Path(__file__).with_name("confined.py")
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "PATH": os.defpath}  # none of our secrets


class ProcessFailedError(Exception):
    """The process ended without a result. `status` is as that of `subprocess`; `is_costly`: time or memory ran out."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
        self.is_costly = status in (-signal.SIGXCPU, -signal.SIGKILL)


async def run(program: Path, file: BinaryIO, *, library: str, limits: Mapping[str, Any], wall_seconds: float) -> bytes:
    """Return what the program makes of an open file of the operating system's; raise ProcessFailedError.

    `library` is a package that stands in the folder of those that the program imports.
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
        raise ProcessFailedError(-signal.SIGXCPU) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ProcessFailedError(process.returncode)
    return output
