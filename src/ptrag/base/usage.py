"""What a job uses: CPU seconds, and the memory that is its own.

Resident memory counts mapped files, too: of 5 GB of cells that are read in place, all pages that
were touched. The system can drop these at any time, so a job does not need them. Its own memory is
what is anonymous (Linux: ``RssAnon``), of the process and of those that it has started, at the
highest.
"""

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger("ptrag")

SECONDS = 0.25  # between looks at the memory
MB = 1e6

_LINE = "used %.1f CPU seconds and at most %.0f MB of its own memory"
_READ = re.compile(r"used ([\d.]+) CPU seconds and at most (\d+) MB of its own memory")


class Usage(NamedTuple):
    """CPU seconds and megabytes of own memory at the highest."""

    cpu_seconds: float
    own_mb: float


@contextmanager
def logged_usage() -> Iterator[None]:
    """Write into the log what a job has used, where it ends well."""
    most, done = [own_memory()], threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS):
            most[0] = max(most[0], own_memory())

    watcher = threading.Thread(target=watch, daemon=True, name="own-memory")
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    logger.info(_LINE, sum(os.times()[:4]), max(most[0], own_memory()) / MB)


def usage_of(log: str | Path) -> Usage | None:
    """Return what a job's log says that it has used; None where the log does not say."""
    log = Path(log)
    read = _READ.findall(log.read_text(errors="replace")) if log.is_file() else []
    return Usage(*map(float, read[-1])) if read else None


def own_memory() -> int:
    """Return the bytes of memory that are this process's own, and its children's."""
    import psutil

    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        try:
            total += _anonymous(process)
        except (psutil.Error, OSError):  # it has ended
            continue
    return total


def _anonymous(process: "psutil.Process") -> int:  # noqa: F821
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        kib = re.search(r"^RssAnon:\s+(\d+) kB", status.read_text(), flags=re.M)
        return int(kib[1]) * 1024 if kib else 0
    return process.memory_full_info().uss  # without Linux: mapped pages of no other count, too
