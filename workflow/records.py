"""Snakemake's own records: kept beside the results, and freed after a kill."""

import getpass
import json
import os
import shutil
import socket
import time
from pathlib import Path

import psutil

HOME = Path(".snakemake")
HOLDER = HOME / "holder.json"


class LockedError(Exception):
    """Another live workflow works in this folder."""


def keep_beside(results: Path) -> None:
    """Keep Snakemake's record of what made each file in ``results``.

    ``.snakemake/metadata`` becomes a link to ``results/.snakemake``, so that results copied
    to another clone bring with them what is needed to see that nothing has to run.
    """
    link, home = HOME / "metadata", results / ".snakemake"
    if link.is_symlink():
        home.mkdir(parents=True, exist_ok=True)
        return
    # Snakemake takes records without this folder for those of an old version
    (HOME / "incomplete").mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    if link.exists():
        shutil.copytree(link, home, dirs_exist_ok=True)
        shutil.rmtree(link)
    link.symlink_to(Path("..") / home)


def hold() -> None:
    """Write down who runs the workflow in this folder."""
    HOME.mkdir(exist_ok=True)
    me = psutil.Process()
    HOLDER.write_text(
        json.dumps(
            {
                "pid": me.pid,
                "created": me.create_time(),
                "host": socket.gethostname(),
                "user": getpass.getuser(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
        )
    )


def release() -> None:
    """Forget who ran the workflow."""
    HOLDER.unlink(missing_ok=True)


def clear_stale_lock() -> None:
    """Remove the lock of a workflow that was killed; refuse when its holder lives.

    Raises
    ------
    LockedError
        Naming process, user, host and start of the workflow that holds the folder.
    """
    if not HOLDER.exists():
        return
    holder = json.loads(HOLDER.read_text())
    if holder["host"] != socket.gethostname():
        alive = any((HOME / "locks").glob("*.lock"))  # cannot look at another machine
    else:
        alive = holder["pid"] != os.getpid() and _lives(holder["pid"], holder["created"])
    if alive:
        raise LockedError(
            f"this folder is in use by process {holder['pid']} of {holder['user']} on "
            f"{holder['host']} since {holder['since']}; wait for it or stop it "
            "(if that machine is gone: snakemake --unlock)"
        )
    shutil.rmtree(HOME / "locks", ignore_errors=True)
    release()


def _lives(pid: int, created: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - created) < 1
    except psutil.NoSuchProcess:
        return False
