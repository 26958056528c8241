"""The console of a run: a line per job, a word in long silences, and how it ended."""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_ptrag.records import NOTHING, STOPPED, message, place

SILENCE = 60.0
"""Seconds without a line after which the console says what runs; doubled each time, up to"""
LONGEST_SILENCE = 600.0

TAIL = 12
"""Lines of a failed job's log."""

MOST_FAILURES = 3
"""Failed jobs whose logs are shown; further ones are named."""

FAULT = re.compile(r"^Traceback|\d (ERROR|CRITICAL) ", flags=re.M)
PROGRESS = re.compile(r"^[\d-]+ [\d:,]+ INFO (.*)$", flags=re.M)


@dataclass
class Job:
    """A job that runs, or has failed."""

    rule: str
    place: str
    log: Path | None
    begun: float

    def __str__(self) -> str:
        return f"{self.rule} ({self.place})" if self.place else self.rule


class Console:
    """Turns the records of Snakemake into lines.

    Parameters
    ----------
    write
        Prints a line.
    terse
        Whether jobs that go well are left out (``--quiet``).
    clock
        Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        terse: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.write, self.terse, self.clock = write, terse, clock
        self.cores, self.width, self.digits = 1, 0, 7
        self.left: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.running: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}
        self.report = ""
        self.total = self.done = 0
        self.stopped = False
        self.begun = self.spoken = clock()
        self.silence = SILENCE
        self.events = {
            LogEvent.RESOURCES_INFO: self._resources,
            LogEvent.RUN_INFO: self._start,
            LogEvent.JOB_INFO: self._job,
            LogEvent.JOB_FINISHED: self._finished,
            LogEvent.JOB_ERROR: self._failed,
            LogEvent.ERROR: self._message,
            None: self._message,
        }

    def handle(self, record: LogRecord) -> None:
        """Take in one record of Snakemake."""
        if hasattr(record, "report"):
            self.report = record.report
        elif handler := self.events.get(getattr(record, "event", None)):
            handler(record)

    def beat(self) -> None:
        """Say what the longest of the running jobs does, where nothing was said for long."""
        if self.clock() - self.spoken < self.silence or not self.running or self.stopped:
            return
        job = min(self.running.values(), key=lambda job: job.begun)
        said = PROGRESS.findall(_end(job.log))
        others = f", {len(self.running) - 1} more" if len(self.running) > 1 else ""
        doing = said[-1] if said else f"tail -f {job.log}"
        self._say(f"  {'running':>{self.digits}}  {job}, {_clock(self._age(job))}{others}: {doing}")
        self.silence = min(2 * self.silence, LONGEST_SILENCE)

    def close(self) -> None:
        """Say how it ended: what failed, or where the report is."""
        spent = _clock(self.clock() - self.begun)
        if self.stopped:
            ended = f"stopped after {spent}, {self._share()}"
            parts = [ended, "run snakemake again and it goes on", self.report]
            self.write("; ".join(filter(None, parts)))
        elif self.failed:
            self._failures(spent)
        elif self.total:
            self.write(f"{self._share()} in {spent}")
            self._say(self.report, always=True)

    def _resources(self, record: LogRecord) -> None:
        self.cores = int(getattr(record, "cores", self.cores))

    def _start(self, record: LogRecord) -> None:
        self.left = Counter(record.stats)
        del self.left["total"], self.left["all"]
        self.total, self.width = self.left.total(), max(map(len, self.left), default=0)
        self.digits = len(f"{self.total} of {self.total}")
        many = [f"{number} × {rule}" for rule, number in self.left.most_common(3) if number > 1]
        jobs = f"{_number(self.total, 'job')} on {_number(self.cores, 'core')}"
        self._say(f"{jobs} ({', '.join(many)}, ...)" if many else jobs)

    def _job(self, record: LogRecord) -> None:
        log = Path(record.log[0]) if record.log else None
        where = place(record.wildcards)
        self.stopped = False  # a Ctrl-C that Snakemake did not heed
        self.running[record.jobid] = Job(record.rule_name, where, log, self.clock())

    def _finished(self, record: LogRecord) -> None:
        job = self.running.pop(record.job_id, None)
        self.failed.pop(record.job_id, None)
        if job is None or job.rule == "all":
            return
        self.done += 1
        self.left[job.rule] -= 1
        self.seconds[job.rule].append(self._age(job))
        self.silence = SILENCE
        count = f"{self.done} of {self.total}"
        line = f"{count:>{self.digits}}  {job.rule:<{self.width}}  {job.place:<34}"
        self._say(f"{line}  {_clock(self._age(job))}{self._estimate()}")

    def _failed(self, record: LogRecord) -> None:
        job = self.running.pop(record.jobid, None)
        if job is None or self.stopped:
            return
        self.failed[record.jobid] = job
        line = f"{'failed':>{self.digits}}  {job.rule:<{self.width}}  {job.place}"
        self._say(line.rstrip(), always=True)

    def _message(self, record: LogRecord) -> None:
        text = message(record)
        if text.startswith(STOPPED):
            self.stopped = True
        elif text.startswith(NOTHING):
            self._say(text)
            self._say(self.report)
        elif text and not self.stopped:
            self._say(text, always=True)

    def _failures(self, spent: str) -> None:
        self._say(self.report, always=True)
        for number, job in enumerate(self.failed.values()):
            if number < MOST_FAILURES:
                self._failure(job)
            else:
                self.write(f"error: {job} failed too (log: {job.log})")
        self.write(f"failed after {spent}, {self._share()}: mend what is said above and run "
                   "snakemake again; what is done stays")  # fmt: skip

    def _failure(self, job: Job) -> None:
        end = _end(job.log).rstrip()
        self.write(f"error: {job} failed; the end of its log {job.log}:")
        for line in end.splitlines()[-TAIL:]:
            self.write(f"    {line}")
        if end and not FAULT.search(end):
            self.write("    (it was killed without a word, which is mostly want of memory: give it "
                       "more, or run fewer jobs at once with --cores 1)")  # fmt: skip

    def _estimate(self) -> str:
        """Return how long the rest takes, once a job of each rule with several left has ended."""
        left = +self.left
        if any(number > 1 and rule not in self.seconds for rule, number in left.items()):
            return ""
        mean = {rule: sum(all_) / len(all_) for rule, all_ in self.seconds.items()}
        work = sum(number * mean.get(rule, 0.0) for rule, number in left.items())
        work -= sum(min(self._age(job), mean.get(job.rule, 0.0)) for job in self.running.values())
        rest = work / min(self.cores, left.total() or 1)
        return f"  about {_clock(rest)} left" if rest >= 5 else ""

    def _share(self) -> str:
        return f"{self.done} of {_number(self.total, 'job')} done"

    def _age(self, job: Job) -> float:
        return self.clock() - job.begun

    def _say(self, line: str, always: bool = False) -> None:
        if line and (always or not self.terse):
            self.write(line)
        self.spoken = self.clock()


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _end(log: Path | None, size: int = 8192) -> str:
    """Return the last bytes of a log; nothing where there is none yet."""
    if log is None or not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - size, 0))
        return file.read().decode(errors="replace")
