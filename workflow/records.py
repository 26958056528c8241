"""Snakemake's own records: kept beside the results, and freed after a kill."""

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psutil

HOME = Path(".snakemake")
HOLDER = HOME / "holder.json"
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


def clear_stale_lock() -> str | None:
    """Remove the lock of a workflow that was killed.

    Returns
    -------
    str or None
        Who holds the folder, if somebody does; Snakemake itself then refuses to run.
    """
    if not HOLDER.exists():
        return None
    holder = json.loads(HOLDER.read_text())
    if holder["host"] != socket.gethostname():
        alive = any((HOME / "locks").glob("*.lock"))  # cannot look at another machine
    else:
        alive = holder["pid"] != os.getpid() and _lives(holder["pid"], holder["created"])
    if alive:
        return (
            f"this folder is in use by process {holder['pid']} of {holder['user']} on "
            f"{holder['host']} since {holder['since']}; wait for it or stop it "
            "(if that machine is gone: snakemake --unlock)"
        )
    shutil.rmtree(HOME / "locks", ignore_errors=True)
    release()
    return None


def cancel_cluster_jobs(patience: float = 60.0) -> None:
    """Cancel the Slurm jobs of earlier workflows in this folder, and wait until they are gone.

    A workflow that is killed cannot cancel its jobs; they would go on writing the files that
    the next one makes. Call it once the folder is locked: whatever runs here then is left over.
    """
    if shutil.which("squeue") is None:
        return
    deadline = time.time() + patience
    while (jobs := _cluster_jobs()) and time.time() < deadline:
        subprocess.run(["scancel", *jobs], check=False)
        time.sleep(1)


def _cluster_jobs() -> list[str]:
    """Return ids of this user's jobs that have this folder and a name as the executor gives."""
    said = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i %j %Z"], capture_output=True, text=True
    )
    jobs = (line.split(maxsplit=2) for line in said.stdout.splitlines())
    return [job for job, name, folder in jobs if folder == str(Path.cwd()) and UUID.fullmatch(name)]


def _lives(pid: int, created: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - created) < 1
    except psutil.NoSuchProcess:
        return False
