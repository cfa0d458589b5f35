"""The user that PostgreSQL runs as. It refuses root, who therefore needs another uid."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from crema.db.embedded.binaries import EmbeddedPostgresError

if sys.platform == "linux":
    import pwd

_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_ACCOUNTS: Final = ("postgres", "nobody")
_LAST_RESORT: Final = 1000


@dataclass(frozen=True)
class Identity:
    """How the programs in `binaries` are started, and which user owns their files."""

    binaries: Path
    data_dir: Path
    how: Literal["plain", "namespace", "setuid"]
    uid: int
    gid: int

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return a command line. Its process ends with the *thread* that starts it: start it in the main thread."""
        how = [str(os.getpid()), str(self.data_dir), self.how, str(self.uid), str(self.gid)]
        return [sys.executable, "-I", "-S", str(_LAUNCHER), *how, str(self.binaries / program), *arguments]

    def chown(self, path: Path | int) -> None:
        """Change the owner of a file or folder to the uid that PostgreSQL runs as. Links are not followed."""
        if self.how != "setuid":
            return
        if isinstance(path, int):
            os.fchown(path, self.uid, self.gid)
        else:
            os.lchown(path, self.uid, self.gid)

    def own_tree(self, folder: Path) -> None:
        """Change the owner of a whole cluster that was created in a user namespace, if there is none now."""
        if self.how != "setuid" or folder.stat().st_uid == self.uid:
            return
        for parent, folders, files in os.walk(folder):
            for name in folders + files:
                self.chown(Path(parent, name))
        self.chown(folder)  # last: tells that all the rest is done

    def why_not(self) -> str:
        """Return why this user can't run the server; "" if it can."""
        command = self.command("postgres", "--version")
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def choose_identity(binaries: Path, data_dir: Path, cluster: Path) -> Identity:
    """Return the first way that works: this user itself, a user namespace, an unprivileged uid.

    An ordinary user goes on owning the cluster that root starts: whose it is decides.
    """
    me = os.geteuid()
    owner = cluster.stat().st_uid if cluster.exists() else None
    if me != 0 and owner not in (None, me):
        raise EmbeddedPostgresError(
            f"{cluster} belongs to uid {owner}, and this is uid {me}. Run Crema as its owner, set "
            "CREMA_DATA_DIR to a folder of your own, or set CREMA_DATABASE_URL."
        )
    if me != 0 and (owner == me or _has_account(me)):
        return Identity(binaries, data_dir, "plain", me, os.getegid())

    # Outside its namespace the process keeps our uid: it reaches what we own, whatever the folders' modes.
    # Inside it needs one with an account, or initdb refuses.
    uid, gid = _unprivileged()
    in_namespace = Identity(binaries, data_dir, "namespace", uid, gid)
    namespace_obstacle = in_namespace.why_not() if owner in (None, me) else f"the cluster is uid {owner}'s"
    if not namespace_obstacle:
        return in_namespace
    if me != 0:
        raise EmbeddedPostgresError(
            f"PostgreSQL can't make a cluster for uid {me}, which has no account (no line in /etc/passwd), "
            f"and no user namespace is to be had ({namespace_obstacle}). Run Crema as a user that has one, "
            "or set CREMA_DATABASE_URL."
        )

    if owner:
        uid, gid = owner, cluster.stat().st_gid
    lowered = Identity(binaries, data_dir, "setuid", uid, gid)
    if why_not := lowered.why_not():
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, no user namespace is to be had ({namespace_obstacle}), and "
            f"uid {uid} can't use {data_dir} with {binaries} ({why_not}). Run Crema as an ordinary user, "
            "set CREMA_DATA_DIR to a folder which that uid can reach (and install Crema in such a one), or "
            "set CREMA_DATABASE_URL."
        )
    return lowered


def _unprivileged() -> tuple[int, int]:
    for name in _ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    return _LAST_RESORT, _LAST_RESORT


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
