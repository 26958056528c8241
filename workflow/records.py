"""Snakemake's own records: kept beside the results, and freed after a kill."""

import base64
import getpass
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, sha256, whole
from ptrag.schema import ConfigFiles

HOME = Path(".snakemake")
HOLDER = HOME / "holder.json"
LONG_TO_READ = 1e9  # bytes of a file of which it is said that it is read
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Digested(dict):
    """A parameter that Snakemake records, compares and prints as its digest; a dict to scripts.

    Printed whole, as the reason why a job runs again, the settings of a data set fill pages.
    """

    def __repr__(self) -> str:
        return f"settings {hashlib.sha256(dict.__repr__(self).encode()).hexdigest()}"

    def __reduce__(self) -> tuple[type, tuple[dict]]:
        return dict, (dict(self),)


def use_library(folder: str) -> None:
    """Let scripts import the library of this folder, even where another checkout's is installed.

    Snakemake puts a script's folder last on the path.
    """
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [others])])


def config_files(workflow: Any, config: Mapping[str, Any]) -> ConfigFiles:
    """Return the files that Snakemake merged the configuration from, weakest first.

    Parameters
    ----------
    workflow
        Snakemake's object.
    config
        What it merged; where no file is known, as in a module, it is the only layer.

    Raises
    ------
    PtragError
        If a file sets a key twice, which YAML would take for the last.
    """
    given = list(workflow.config_settings.configfiles)
    declared = [path for path in workflow.configfiles if Path(path) not in given]
    layers: dict[str, Any] = {}
    for path in [*declared, *given]:
        shown = Path(path)
        if shown.is_absolute() and shown.is_relative_to(Path.cwd()):
            shown = shown.relative_to(Path.cwd())
        if Path(path).is_file():
            layers[str(shown)] = _read_config(Path(path), str(shown))
    if workflow.config_settings.config:
        layers["--config"] = dict(workflow.config_settings.config)
    return ConfigFiles(layers or {"config": config})


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML in which a key that comes twice is a fault."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return a mapping, its keys checked."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise PtragError(
                    f"{key}: is there twice (line {node.start_mark.line + 1}); keep one"
                )
        return super().construct_mapping(node, deep)


def _read_config(path: Path, shown: str) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader) or {}
    except PtragError as error:
        raise PtragError(f"{shown}: {error}") from None
    except yaml.YAMLError as error:
        raise PtragError(f"{shown}: is no YAML ({' '.join(str(error).split())}); mend it") from None


def content(path: Path) -> str:
    """Return the SHA-256 of a file or folder, computed again only when something touched it.

    Snakemake compares times first, so a file that another of an older time replaces (``cp -p``,
    ``rsync -a``, ``tar``) is no change to it. Any change, of the content or of the times alone, has
    a new time of its own in the file system (ctime), which cannot be set: what has the size, the
    times and the inode of the last look has its content, too. A zarr is named by its root.
    """
    path = whole(path)
    cache = HOME / "contents.json"
    known = json.loads(cache.read_text()) if cache.is_file() else {}
    parts = sorted(path.rglob("*")) if path.is_dir() else [path]
    state = [
        [str(part), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        for part in parts
        for stat in [part.stat()]
    ]
    now = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    key = str(path.resolve())
    if known.get(key, [""])[0] != now:
        size = sum(facts[1] for facts in state)
        if size >= LONG_TO_READ:
            print(f"note: {path}: new or touched; reading {size / 1e9:.1f} GB", file=sys.stderr)
        known[key] = [now, sha256(path)]
        HOME.mkdir(exist_ok=True)
        with atomic(cache) as part:
            part.write_text(json.dumps(known))
    return known[key][1]


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


def adopt(results: Path) -> None:
    """Take over the records that one data set's results, copied alone, bring with them.

    Parameters
    ----------
    results
        ``results/{dataset}``.
    """
    _copy_new(results / ".snakemake", HOME / "metadata", str(results))


def leave_with(results: Path) -> None:
    """Leave the records of one data set's files with them, for a copy of this folder alone."""
    home = results / ".snakemake"
    shutil.rmtree(home, ignore_errors=True)
    _copy_new(HOME / "metadata", home, str(results))


def _copy_new(source: Path, home: Path, results: str) -> None:
    """Copy the records of files below ``results`` that are not in ``home`` yet."""
    for record in source.rglob("*"):
        name = record.relative_to(source)
        if not record.is_file() or (home / name).exists():
            continue
        if _recorded(name).startswith(f"{results}/"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(record, home / name)


def _recorded(name: Path) -> str:
    """Return the file that a record is of: its name in base 64, a long one over several folders."""
    try:
        return base64.b64decode("".join(name.parts).replace("@", ""), b"-_").decode()
    except ValueError:
        return ""


def report_written(report: Path) -> str:
    """Return where the report is and when it was written, as a sentence; empty without one."""
    return f"report: {report} (written {_written(report)})" if report.is_file() else ""


def report_after_failure(report: Path, started: float) -> str:
    """Return what to think of the report after a run that began at ``started`` and did not end."""
    if not report.is_file() or report.stat().st_mtime >= started:
        return report_written(report)
    return f"{report} is of an earlier run ({_written(report)})"


def _written(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))


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
