"""What a person reads while the workflow runs, in full: a run, a failure, Ctrl-C, nothing to do."""

import os
import re
import signal
import time

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

PROFILE = "Using workflow specific profile profiles/default for setting default command line"
REPORT = r"report: results/tiny/report.html \(written \d{4}-\d\d-\d\d \d\d:\d\d\)"
EARLIER = r"results/tiny/report.html is of an earlier run \(\d{4}-\d\d-\d\d \d\d:\d\d\)"
LEFT = r"(  about \d:\d\d:\d\d left)?"


def lines(said):
    return [line for line in said.splitlines() if not line.startswith(PROFILE)]


def test_a_run_is_one_line_per_job_and_ends_with_the_report(finished):
    said = lines(finished.said)
    jobs = int(said[0].split()[0])
    assert jobs == len(list((finished.folder / "results/tiny").rglob("benchmarks/*.tsv")))
    known = [
        rf"{jobs} jobs on \d+ cores? \(6 × evaluate_arm, .*\)",
        rf" ?\d+ of {jobs}  \w+ .*  \d:\d\d:\d\d{LEFT}",
        r" *running  \w+.*, \d:\d\d:\d\d.*: .*",  # after a long silence
        "WARNING: results/tiny/source.h5ad: .* have no column in X .*",  # ours, worth reading
        rf"{jobs} of {jobs} jobs done in \d:\d\d:\d\d",
        REPORT,
    ]
    assert [line for line in said if not any(re.fullmatch(form, line) for form in known)] == []
    assert sum(bool(re.fullmatch(known[1], line)) for line in said) == jobs
    assert re.fullmatch(REPORT, said[-1])
    assert any("train_arm" in line and "hepg2 ptrag seed 1" in line for line in said)


def test_nothing_to_do_names_the_report(finished):
    first, second = lines(finished.snakemake())
    assert first == "Nothing to be done (all requested files are present and up to date)."
    assert re.fullmatch(REPORT, second)


def test_an_error_comes_last_and_the_old_report_is_dated(project):
    script = project.folder / "src/compare_arms.py"
    fault = "\n    raise ValueError('on purpose')\n"
    line = "with rule_log(snakemake.log[0]):"
    script.write_text(script.read_text().replace(line, line + fault))
    said = lines(project.snakemake(ok=False))
    error = next(i for i, line in enumerate(said) if line.startswith("error: "))
    log = "results/tiny/logs/compare_arms.log"
    assert said[error] == f"error: compare_arms failed; the end of its log {log}:"
    assert re.fullmatch(EARLIER, said[error - 1])
    assert said[-2] == "    ValueError: on purpose"
    assert re.fullmatch(r"failed after \S+, 0 of 3 jobs done: mend what is said above .*", said[-1])
    assert len(said) < 25


def test_ctrl_c_is_one_line(project):
    arm = project.forget("hepg2/ptrag")
    log = arm / "seed1/logs/train_arm.log"
    process = project.start(start_new_session=True)
    deadline = time.time() + 300
    while time.time() < deadline and not (log.is_file() and "step" in log.read_text()):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    _, *last = [line for line in lines(said) if not line.lstrip().startswith("running  ")]
    ended = rf"stopped after \S+, 0 of 6 jobs done; run snakemake again and it goes on; {EARLIER}"
    assert len(last) == 1, last
    assert re.fullmatch(ended, last[0])


def test_the_reason_for_a_run_does_not_fill_pages(project):
    """Nor in Snakemake's own lines, as on a cluster: settings are recorded as their digest."""
    project.configure(lambda config: config["resources"]["train_arm"].update(mem_mb=9000))
    assert project.planned() == {"write_report", "write_manifest"}
    assert max(map(len, project.snakemake("-n", "--verbose").splitlines())) < 10_000
    records = project.folder / "results/tiny/.snakemake"
    assert max(path.stat().st_size for path in records.rglob("*") if path.is_file()) < 30_000
