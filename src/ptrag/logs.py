"""What a rule says: to its log file and to the terminal, and how it fails."""

import logging
import sys
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
