"""Runs a program of ours on an untrusted file, one process a file. Run by path as a script.

The program is a file with `prepare(limits)`, which loads what it needs, and `process(content, limits)`, which gives the
pieces of what is written to stdout. The file is stdin.

The process limits itself before it reads a byte: memory, CPU time, no files, no core dump, low priority. It ends with
the process that started it. Arguments: that process's pid, the folder that libraries are installed in, the limits as
JSON (`memory_bytes`, `cpu_seconds`, and the program's own), and the program's path.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Process stdin to stdout."""
    parent, libraries, limits_as_json, path = sys.argv[1:]
    limits = json.loads(limits_as_json)
    end_with(int(parent))
    sys.path.append(libraries)
    program = load(path)
    program.prepare(limits)
    confine(memory_bytes=limits["memory_bytes"], cpu_seconds=limits["cpu_seconds"])
    sys.stdin.buffer.seek(0)  # whoever opened it may have looked into it
    sys.stdout.buffer.writelines(program.process(sys.stdin.buffer.read(), limits))


def end_with(parent: int) -> None:
    """Ask for SIGKILL at the parent's end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit(1)


def load(path: str) -> ModuleType:
    """Import the program."""
    spec = spec_from_file_location("program", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["program"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def confine(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process from now on; `memory_bytes` are beyond what it has."""
    os.nice(5)
    used = 0
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        used = pages * resource.getpagesize()
    _lower(resource.RLIMIT_AS, used + memory_bytes)
    _lower(resource.RLIMIT_CPU, cpu_seconds)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
