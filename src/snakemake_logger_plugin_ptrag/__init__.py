"""The console of a person: ``snakemake --logger ptrag``, which the default profile asks for.

Snakemake finds a logger by the name of its package, which is why this one does not lie in
``ptrag``. The record of everything stays in ``.snakemake/log``. Where jobs run on a cluster,
Snakemake's own lines are printed: they have the numbers of its jobs, and programs read them.
"""

import signal
import sys
import threading
from collections.abc import Callable
from logging import LogRecord
from types import FrameType

from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import OutputSettingsLoggerInterface

from snakemake_logger_plugin_ptrag.console import Console
from snakemake_logger_plugin_ptrag.plan import Plan

LOOK_SECONDS = 5
"""Between looks at whether a long silence has to be broken."""


class Plain:
    """Snakemake's own lines.

    Parameters
    ----------
    write
        Prints a line.
    common
        Snakemake's settings of its output.
    """

    def __init__(self, write: Callable[[str], None], common: OutputSettingsLoggerInterface):
        self.write = write
        self.formatter = DefaultFormatter(common.quiet, common.show_failed_logs)
        self.filter = DefaultFilter(
            common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
        )

    def handle(self, record: LogRecord) -> None:
        """Print one record of Snakemake."""
        if self.filter.filter(record) and (text := self.formatter.format(record)):
            self.write(text)

    def beat(self) -> None:
        """Do nothing: a cluster has its own ways to show what runs."""

    def close(self) -> None:
        """Do nothing: Snakemake has said how it ended."""


def _runs_elsewhere(record: LogRecord) -> bool:
    """Whether Snakemake says with this record that jobs run on other machines."""
    event = getattr(record, "event", None)
    return event == LogEvent.RESOURCES_INFO and bool(getattr(record, "nodes", None))


class LogHandler(LogHandlerBase):
    """Prints one line per job, and at the end where the report is or what failed."""

    def __post_init__(self) -> None:
        """Open the console, and start the watch that breaks a long silence."""
        common = self.common_settings
        self.stream = sys.stdout if common.stdout else sys.stderr
        self.silent = Quietness.ALL in (common.quiet or ()) and not common.dryrun
        self.console = self._choose()
        self._notice_ctrl_c()
        self.over = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="console").start()

    def _choose(self) -> Plan | Console | Plain:
        common = self.common_settings
        if common.verbose or common.debug_dag:
            return Plain(self._write, common)
        quiet = set(common.quiet or ()) & {Quietness.PROGRESS, Quietness.RULES}
        return Plan(self._write) if common.dryrun else Console(self._write, bool(quiet))

    def _notice_ctrl_c(self) -> None:
        """Tell the console of Ctrl-C itself: jobs may end of it before Snakemake says anything."""
        before = signal.getsignal(signal.SIGINT)
        if not callable(before) or threading.current_thread() is not threading.main_thread():
            return

        def notice(number: int, frame: FrameType | None) -> None:
            if isinstance(self.console, Console):
                self.console.stopped = True
            before(number, frame)

        signal.signal(signal.SIGINT, notice)

    def emit(self, record: LogRecord) -> None:
        """Hand a record to the console; a fault of the console stops no workflow."""
        try:
            if _runs_elsewhere(record):
                self.console = Plain(self._write, self.common_settings)
            self.console.handle(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Say how it ended."""
        if not self.over.is_set():
            self.over.set()
            self.console.close()
        super().close()

    def _watch(self) -> None:
        while not self.over.wait(LOOK_SECONDS):
            with self.lock:
                self.console.beat()

    def _write(self, line: str) -> None:
        if not self.silent:
            print(line, file=self.stream, flush=True)

    @property
    def writes_to_stream(self) -> bool:
        """It replaces the console of Snakemake."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """The file of Snakemake stays as it is."""
        return False

    @property
    def has_filter(self) -> bool:
        """What is printed is chosen here, ``--quiet`` included."""
        return True

    @property
    def has_formatter(self) -> bool:
        """So are the words."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Counts of jobs are enough."""
        return False
