"""Replaces itself by one of PostgreSQL's programs. A script, run by path: it needs the standard library only.

Instead of a `preexec_fn`, which runs Python between fork and exec and may deadlock beside other threads.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}  # no LANG, PG… or LD_… of the caller's reaches the server

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Arguments: the parent's pid, working folder, how to change the uid, uid, gid, program, its arguments."""
    parent, folder, how, uid, gid, program = sys.argv[1:7]
    if how == "namespace":
        enter_user_namespace(int(uid), int(gid))
    elif how == "setuid":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    os.chdir(folder)
    die_with(int(parent))
    os.execve(program, sys.argv[6:], _ENVIRONMENT)  # noqa: S606 - the supervisor's own command line


def enter_user_namespace(uid: int, gid: int) -> None:
    """Become `uid` in a new user namespace, as `unshare --user --map-user --map-group` does."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER))
    proc = Path("/proc/self")
    proc.joinpath("setgroups").write_text("deny", encoding="ascii")  # the kernel's condition for the next two
    proc.joinpath("uid_map").write_text(f"{uid} {outer_uid} 1", encoding="ascii")
    proc.joinpath("gid_map").write_text(f"{gid} {outer_gid} 1", encoding="ascii")


def die_with(parent: int) -> None:
    """Have the kernel send SIGINT, PostgreSQL's fast shutdown, when the parent ends. A change of uid clears this."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT))
    if os.getppid() != parent:  # it ended before we asked
        sys.exit("the parent process has ended")


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(str(error))
