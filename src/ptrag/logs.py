"""What a rule says: to its log file and to the terminal, and how it fails."""

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ptrag.errors import PtragError

logger = logging.getLogger("ptrag")


@contextmanager
def rule_log(path: str | Path) -> Iterator[logging.Logger]:
    """Send the ``ptrag`` log of one job to ``path``, warnings and errors to stderr too.

    A :class:`PtragError` becomes one line on both and exit status 1; any other
    exception leaves its traceback in the log and is raised.
    """
    _die_with_snakemake()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    file = logging.FileHandler(path, mode="w")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.handlers = [terminal, file]
    try:
        yield logger
    except PtragError as error:
        logger.error("%s", error)
        raise SystemExit(1) from None
    except BaseException:
        file.stream.write(traceback.format_exc())
        raise
    finally:
        for handler in (terminal, file):
            handler.close()
        logger.handlers = []


def _die_with_snakemake(seconds: float = 1.0) -> None:
    """Kill this job when the workflow that started it is gone.

    A workflow killed with SIGKILL cannot stop its jobs; an orphan would go on writing the
    files that the next workflow makes. Outputs appear whole or not at all, so dying is safe.
    """
    import psutil

    above = [p for p in psutil.Process().parents() if "snakemake" in " ".join(p.cmdline())]
    if not above:
        return
    workflow = above[0]

    def watch() -> None:
        while workflow.is_running() and workflow.status() != psutil.STATUS_ZOMBIE:
            time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="die-with-snakemake").start()
