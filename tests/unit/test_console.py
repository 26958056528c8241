"""The console: lines per job, words in silences, how a run ends, and the plan of a dry run."""

import logging
import signal
from pathlib import Path

import pytest
import snakemake
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_ptrag.console import Console
from snakemake_logger_plugin_ptrag.plan import REASONS, Plan
from snakemake_logger_plugin_ptrag.records import CHATTER, NOTHING, STOPPED

STALE = "results/demo/report.html is of an earlier run (2026-01-01 00:00)"


@pytest.fixture(autouse=True)
def handlers():
    """The logger notices Ctrl-C; the other tests do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
    yield
    signal.signal(signal.SIGINT, before)


def words(line):
    """Columns may be of any width."""
    return line.split()


class Run:
    """A run as Snakemake tells it, at times that the test sets."""

    def __init__(self, terse=False, **stats):
        self.time, self.lines = 0.0, []
        self.console = Console(self.lines.append, terse, clock=lambda: self.time)
        self.tell("", LogEvent.RESOURCES_INFO, cores=2)
        self.tell("", LogEvent.RESOURCES_INFO)
        self.tell("", LogEvent.RUN_INFO, stats=stats | {"total": sum(stats.values())})

    def tell(self, text="", event=None, level=logging.INFO, **extra):
        record = logging.LogRecord("snakemake", level, "", 0, text, (), None)
        vars(record).update(extra | ({"event": event} if event else {}))
        self.console.handle(record)

    def start(self, jobid, rule="train_arm", log=(), **wildcards):
        self.tell("", LogEvent.JOB_INFO, jobid=jobid, rule_name=rule, log=list(log),
                  wildcards={"dataset": "demo"} | wildcards, reason="")  # fmt: skip

    def end(self, jobid, seconds=0.0):
        self.time += seconds
        self.tell("", LogEvent.JOB_FINISHED, job_id=jobid)

    def fail(self, jobid):
        self.tell("", LogEvent.JOB_ERROR, logging.ERROR, jobid=jobid)

    def close(self):
        self.console.close()
        return self.lines


def test_a_job_is_one_line_with_place_time_and_progress():
    run = Run(train_arm=1, compare_arms=1, all=1)
    run.start(1, split="hepg2", arm="ptrag@shuffled", seed="3")
    run.tell("Select jobs to execute...")
    run.end(1, 65)
    run.start(2, "compare_arms")
    run.end(2, 5)
    run.start(0, "all")
    run.end(0)
    run.tell("report: r.html", report="report: r.html")
    lines = [words(line) for line in run.close()]
    assert lines == [
        words("2 jobs on 2 cores"),
        words("1 of 2 train_arm hepg2 ptrag@shuffled seed 3 0:01:05"),
        words("2 of 2 compare_arms 0:00:05"),
        words("2 of 2 jobs done in 0:01:10"),
        words("report: r.html"),
    ]


def test_the_rest_is_estimated_once_every_rule_with_several_jobs_left_has_ended():
    run = Run(train_arm=5, evaluate_arm=3, write_report=1)
    run.start(1)
    run.end(1, 40)
    assert "left" not in run.lines[-1], "nothing is known of evaluate_arm"
    run.start(2, "evaluate_arm")
    run.end(2, 20)
    # four of 40 s and two of 20 s on two cores; of the report nothing is known
    assert run.lines[-1].endswith("about 0:01:40 left")
    run.start(3)
    run.start(4)
    run.time += 10
    run.end(3)
    # mean of 40 and 10 s: three of 25 s, of which one has run for 10 s, and two of 20 s
    assert run.lines[-1].endswith("about 0:00:52 left")


def test_a_long_silence_is_broken_by_the_progress_of_the_longest_job(tmp_path):
    log = tmp_path / "train_arm.log"
    run = Run(train_arm=2)
    run.start(1, log=[log], split="hepg2", arm="ptrag", seed="1")
    run.time = 10
    run.start(2)
    run.console.beat()
    assert len(run.lines) == 1, "no silence yet"
    run.time = 61
    run.console.beat()
    assert run.lines[-1].endswith(f"0:01:01, 1 more: tail -f {log}")
    log.write_text(
        "2026-01-01 10:00:00,123 INFO ptrag: step 10 of 400, 90 s left\n"
        "2026-01-01 10:00:09,123 INFO ptrag: step 50 of 400, 70 s left\n"
        "no line of a log\n"
    )
    run.time = 180
    run.console.beat()
    assert len(run.lines) == 2, "each silence is twice as long as the one before"
    run.time = 182
    run.console.beat()
    assert "train_arm (hepg2 ptrag seed 1), 0:03:02, 1 more: ptrag: step 50" in run.lines[-1]


def test_a_failed_job_is_what_is_read_last(tmp_path):
    log = tmp_path / "train_arm.log"
    log.write_text(
        "".join(f"line {i}\n" for i in range(50)) + "2026-01-01 1:0:0,1 ERROR bad file\n"
    )
    run = Run(train_arm=2)
    run.start(1, log=[log], split="hepg2", arm="ptrag", seed="1")
    run.fail(1)
    for said in ("Shutting down, this might take some time.", "Exiting because a job execution "
                 "failed. Look above", "RuleException:\nCalledProcessError in file x",
                 "WorkflowError:\nAt least one job did not complete successfully."):  # fmt: skip
        run.tell(said, LogEvent.ERROR, logging.ERROR)
    run.tell(STALE, report=STALE)
    lines = run.close()
    assert words(lines[1]) == words("failed train_arm hepg2 ptrag seed 1")
    assert lines[2:4] == [
        STALE,
        f"error: train_arm (hepg2 ptrag seed 1) failed; the end of its log {log}:",
    ]
    assert lines[4] == "    line 39"
    assert lines[-2] == "    2026-01-01 1:0:0,1 ERROR bad file"
    assert lines[-1].startswith("failed after 0:00:00, 0 of 2 jobs done: mend what is said above")


def test_a_job_killed_without_a_word_is_told_apart(tmp_path):
    log = tmp_path / "train_arm.log"
    log.write_text("2026-01-01 10:00:00,123 INFO step 10 of 400\n")
    run = Run(train_arm=1)
    run.start(1, log=[log])
    run.fail(1)
    assert "want of memory" in run.close()[-2]


def test_a_job_that_fails_and_then_ends_well_is_no_error():
    run = Run(train_arm=1)
    run.start(1)
    run.fail(1)
    run.start(1)
    run.end(1, 3)
    assert run.close()[-1] == "1 of 1 job done in 0:00:03"


def test_ctrl_c_is_one_line():
    run = Run(train_arm=2)
    run.start(1)
    run.start(2)
    before = len(run.lines)
    run.tell(f"{STOPPED}, this might take some time.")
    run.fail(1)
    run.tell("WorkflowError:\nwhatever", LogEvent.ERROR, logging.ERROR)
    run.tell(STALE, report=STALE)
    lines = run.close()[before:]
    assert lines == [
        f"stopped after 0:00:00, 0 of 2 jobs done; run snakemake again and it goes on; {STALE}"
    ]


def test_where_nothing_has_to_run_the_report_is_named():
    lines = []
    run = Run()
    run.console = Console(lines.append)
    run.tell("", report="report: r.html (written 2026-01-01 00:00)")
    run.tell(f"{NOTHING} (all requested files are present and up to date).")
    run.console.close()
    assert lines[0].startswith(NOTHING)
    assert lines[1:] == ["report: r.html (written 2026-01-01 00:00)"]


def test_what_is_not_known_is_printed_and_debugging_is_not():
    run = Run(train_arm=1)
    run.tell("Unlocked working directory.")
    run.tell("Resources before job selection", level=logging.DEBUG)
    run.tell("MissingInputException: no such file", LogEvent.ERROR, logging.ERROR)
    assert run.lines[1:] == ["Unlocked working directory.", "MissingInputException: no such file"]


def test_quiet_leaves_what_goes_well_out():
    run = Run(terse=True, train_arm=2)
    run.start(1)
    run.end(1, 5)
    run.start(2)
    run.fail(2)
    assert [line.split()[0] for line in run.lines] == ["failed"]


def test_a_dry_run_is_a_line_per_rule_however_long_the_reasons():
    lines = []
    plan = Plan(lines.append)
    reasons = {
        1: "Params have changed since last execution: " + "x" * 30_000,
        2: "Missing output files: a, b; Input files updated by another job: " + "y" * 30_000,
    }
    for jobid, reason in reasons.items():
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", (), None)
        rule = "train_arm"
        vars(record).update(event=LogEvent.JOB_INFO, jobid=jobid, rule_name=rule, reason=reason)
        plan.handle(record)
    plan.close()
    assert [words(line) for line in lines[1:]] == [
        words("train_arm 2 not there yet, after another job, settings or code have changed"),
        words("total 2"),
    ]


@pytest.fixture(scope="module")
def source():
    """The code of Snakemake, without the quotes between the parts of a message."""
    files = Path(snakemake.__file__).parent.rglob("*.py")
    return "".join(path.read_text() for path in files)


@pytest.mark.parametrize("message", [*REASONS, *CHATTER, NOTHING, STOPPED])
def test_snakemake_still_says_so(source, message):
    """A new version may say in other words what is looked for in its messages."""
    assert message.split("\n")[-1] in source


def test_ctrl_c_is_known_before_snakemake_says_so(capsys):
    handler = (
        LoggerPluginRegistry()
        .get_plugin("ptrag")
        .log_handler(OutputSettings(), LogHandlerSettingsBase())
    )
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    handler.close()
    assert capsys.readouterr().err.startswith("stopped after 0:00:00")


@pytest.mark.parametrize("cluster", [True, False])
def test_jobs_on_a_cluster_are_shown_by_snakemake_itself(capsys, cluster):
    plugin = LoggerPluginRegistry().get_plugin("ptrag")
    handler = plugin.log_handler(OutputSettings(), LogHandlerSettingsBase())
    sent = [
        {"event": LogEvent.RESOURCES_INFO, **({"nodes": 200} if cluster else {"cores": 2})},
        {"event": LogEvent.PROGRESS, "done": 1, "total": 4},
    ]
    for extra in sent:
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, "resources", (), None)
        vars(record).update(extra)
        handler.emit(record)
    handler.close()
    printed = capsys.readouterr().err
    assert ("1 of 4 steps (25%) done" in printed) == cluster
