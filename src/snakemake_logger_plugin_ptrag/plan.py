"""The console of ``snakemake -n``: one line per rule, with the number of jobs and why."""

from collections import Counter
from collections.abc import Callable
from logging import LogRecord

from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_ptrag.records import message

REASONS = {
    "Missing output files": "not there yet",
    "Incomplete output files": "was interrupted",
    "Updated input files": "its input has changed",
    "Input files updated by another job": "after another job",
    "Set of input files has changed": "has other inputs",
    "Params have changed": "settings or code have changed",
    "Software environment definition has changed": "packages have changed",
    "Forced execution": "forced",
}
"""The reasons that Snakemake gives, in few words: the files and values after them fill pages."""

WORTH = list(REASONS.values())


class Plan:
    """Counts the jobs of a dry run, and prints them when it is closed.

    Parameters
    ----------
    write
        Prints a line.
    """

    def __init__(self, write: Callable[[str], None]):
        self.write = write
        self.jobs: Counter[str] = Counter()
        self.stats: Counter[str] = Counter()
        self.reasons: dict[str, set[str]] = {}

    def handle(self, record: LogRecord) -> None:
        """Take in one record of Snakemake."""
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO:
            self._count(record.rule_name, record.reason)
        elif event == LogEvent.RUN_INFO:
            self.stats = Counter(record.stats)
        elif event in (None, LogEvent.ERROR) and (text := message(record)):
            self.write(text)

    def _count(self, rule: str, reason: str) -> None:
        self.jobs[rule] += 1
        reasons = self.reasons.setdefault(rule, set())
        reasons.update(words for start, words in REASONS.items() if start in reason)

    def beat(self) -> None:
        """Do nothing: a dry run is over before anyone waits."""

    def close(self) -> None:
        """Print the plan."""
        jobs = self.jobs or self.stats  # with --quiet no jobs are listed
        del jobs["all"], jobs["total"]
        if not jobs:
            return
        width = max(map(len, jobs))
        self.write("would run (nothing has been changed):")
        for rule, number in [*jobs.items(), ("total", jobs.total())]:
            why = ", ".join(sorted(self.reasons.get(rule, ()), key=WORTH.index))
            self.write(f"{rule:<{width}}  {number:>5}  {why}".rstrip())
