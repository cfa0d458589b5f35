"""Runs one of our programs on an untrusted file, one process per file. It is started by path as a script.

The program is a Python file with `prepare(limits)`, which loads what it needs, and `process(content, limits)`, which
yields the bytes for stdout. The untrusted file is stdin.

Before it reads the file the process limits itself: memory, CPU time, no written files, no core dump, low priority. It
is killed when the process ends that started it. Arguments: the pid of that process, the folder of the installed
libraries, the limits as JSON (`memory_bytes`, `cpu_seconds`, and those of the program), and the program's path.
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
    die_with_parent(int(parent))
    sys.path.append(libraries)
    program = load(path)
    program.prepare(limits)
    limit_resources(memory_bytes=limits["memory_bytes"], cpu_seconds=limits["cpu_seconds"])
    sys.stdin.buffer.seek(0)  # the parent may have read its first bytes
    sys.stdout.buffer.writelines(program.process(sys.stdin.buffer.read(), limits))


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        sys.exit(1)


def load(path: str) -> ModuleType:
    """Import the program from its path, and return it."""
    spec = spec_from_file_location("program", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["program"] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


def limit_resources(*, memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process from now on. `memory_bytes` come on top of what it uses now."""
    os.nice(5)
    used = 0
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        used = pages * resource.getpagesize()
    _lower_limit(resource.RLIMIT_AS, used + memory_bytes)
    _lower_limit(resource.RLIMIT_CPU, cpu_seconds)
    _lower_limit(resource.RLIMIT_FSIZE, 0)
    _lower_limit(resource.RLIMIT_CORE, 0)


def _lower_limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
