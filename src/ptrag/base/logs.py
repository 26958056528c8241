"""What a rule says: to its log file and to the terminal, and how it fails."""

import errno
import logging
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ptrag.base.errors import PtragError
from ptrag.base.usage import logged_usage

logger = logging.getLogger("ptrag")

ON_TERMINAL = {"terminal": True}
"""``extra`` of a record that a person at the terminal wants to see, though all is well."""

INTERRUPTED = 130
"""Exit status of a job that Ctrl-C has stopped."""

STORAGE_FAULTS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EROFS: "the file system is read-only; work in a folder that can be written",
    errno.EACCES: "permission denied; change its permissions or work in another folder",
}
"""What a file system may refuse, with the remedy."""


@contextmanager
def rule_log(path: str | Path) -> Iterator[logging.Logger]:
    """Send the ``ptrag`` log of one job to ``path``; warnings, errors and progress to stderr too.

    A :class:`PtragError`, what a file system refuses and Ctrl-C become one line on both; any
    other exception leaves its traceback in the log and is raised.
    """
    _die_with_snakemake()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _stop)
    logging.raiseExceptions = False  # the log may lie on the disk that is full
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or _is_for_terminal(record))
    terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    # further processes of one training share its log
    file = logging.FileHandler(path, mode="a" if os.environ.get("LOCAL_RANK") else "w")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.handlers = [terminal, file]
    try:
        with logged_usage():
            yield logger
    except PtragError as error:
        logger.error("%s", error)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        logger.info("interrupted; run snakemake again and it goes on")
        raise SystemExit(INTERRUPTED) from None
    except SystemExit:  # whoever stops has said why
        raise
    except BaseException as error:
        if fault := _storage_fault(error):
            logger.error("%s", fault)
            os._exit(1)  # HDF5 crashes at exit over a file that it could not write
        with suppress(OSError):
            file.stream.write(traceback.format_exc())
        raise
    finally:
        for handler in (terminal, file):
            handler.close()
        logger.handlers = []


def _is_for_terminal(record: logging.LogRecord) -> bool:
    return all(getattr(record, key, None) == value for key, value in ON_TERMINAL.items())


def _stop(number: int, frame: FrameType | None) -> None:
    """Stop at Ctrl-C: as at SIGTERM where that is handled, for a training then saves its state."""
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        raise KeyboardInterrupt


def _storage_fault(error: BaseException) -> str | None:
    """Say in one line what a file system has refused; None where that is not what happened."""
    if not isinstance(error, OSError):
        return None
    message = str(error)
    number = re.search(r"errno = (\d+)", message)  # HDF5 hides it in its message
    reason = STORAGE_FAULTS.get(int(number[1]) if number else error.errno)
    name = re.search(r"filename = '([^']+)'", message)
    path = Path(name[1] if name else error.filename or "a file")
    shown = path.with_name(re.sub(r"^\.(.*)\.part$", r"\1", path.name))
    return f"{shown}: {reason}" if reason else None


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
