"""The tiny workflow through a real Slurm of one node: `make test-slurm`.

The script that brings Slurm up is looked for in $PTRAG_SLURM_UP, else beside the repository.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

SLURM = (
    "--profile", "profiles/slurm",
    "--default-resources", "slurm_account=root", "slurm_partition=cpu",
    "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10",
)  # fmt: skip


@pytest.fixture(scope="session")
def slurm(root, finished):
    """Bring Slurm up; ``finished`` first, so that its time is not counted here."""
    script = Path(os.environ.get("PTRAG_SLURM_UP", root.parent / "shared/slurm_up.sh"))
    if not script.is_file():
        pytest.skip(f"no {script}: it brings up Slurm (or set PTRAG_SLURM_UP)")
    if os.getuid() != 0:
        pytest.skip("Slurm can only be brought up by root")
    before = os.environ.get("SLURM_CONF")
    start = time.time()
    said = subprocess.run([script, "up"], capture_output=True, text=True, timeout=600)
    assert said.returncode == 0, said.stderr
    print(f"\nSlurm was up after {time.time() - start:.0f} s")
    os.environ["SLURM_CONF"] = said.stdout.strip().rpartition("SLURM_CONF=")[2]
    node("resume")
    yield
    subprocess.run([script, "down"], check=True)
    os.environ.pop("SLURM_CONF")
    if before:
        os.environ["SLURM_CONF"] = before


@pytest.fixture
def started():
    """Time before which jobs are not this test's."""
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def node(state):
    name = command("sinfo -h -N -o %N").split()[0]
    reason = "reason=test" if state == "drain" else ""
    subprocess.run(
        ["scontrol", "update", f"nodename={name}", f"state={state}", *reason.split()],
        check=state == "drain",  # a node that is up refuses to resume
        stderr=subprocess.DEVNULL,
    )


def command(line):
    return subprocess.run(line.split(), capture_output=True, text=True, check=True).stdout


def accounts(since):
    """What the accounting says of jobs: rows of rule, state, requested MB, peak MB, seconds."""
    said = command(
        f"sacct -S {since} --parsable2 --noheader "
        "--format=JobID,Comment,State,ReqMem,MaxRSS,TimelimitRaw,Elapsed,ReqCPUS"
    )
    jobs = {}
    for line in said.splitlines():
        number, comment, state, asked, peak, limit, elapsed, cpus = line.split("|")
        job = jobs.setdefault(number.split(".")[0], {"peak": 0.0})
        if peak:
            job["peak"] = max(job["peak"], megabytes(peak))
        if "." not in number:
            job |= {
                "name": comment, "state": state.split()[0], "asked": megabytes(asked),
                "minutes": int(limit), "elapsed": elapsed, "cpus": int(cpus),
            }  # fmt: skip
    return jobs


def megabytes(text):
    return float(text[:-1]) * {"K": 1 / 1024, "M": 1, "G": 1024}[text[-1]]


def shown(jobs):
    rows = [
        f"{number:>5} {job['name']:<60} {job['state']:<14} {job['cpus']:>2} cpu "
        f"{job['asked']:>6.0f} MB asked {job['peak']:>6.0f} used "
        f"{job['minutes']:>4} min asked {job['elapsed']} used"
        for number, job in jobs.items()
    ]
    print("\n".join(["", *rows]))
    return jobs


def of(jobs, name):
    return [job for job in jobs.values() if name in job["name"]]


def wait_until(true, process, seconds=300):
    deadline = time.time() + seconds
    while not true():
        assert process.poll() is None, process.communicate()[0][-4000:]
        assert time.time() < deadline, "waited too long"
        time.sleep(0.2)


def running(project):
    """Slurm ids of this project's running jobs of train_arm."""
    said = command("squeue --me -h -t R -o %i|%k|%Z").splitlines()
    jobs = (line.split("|") for line in said)
    return [i for i, comment, where in jobs if "train_arm" in comment and where == str(project)]


def test_it_ends_with_the_same_tables_and_more_memory_cures_a_killed_job(
    slurm, root, finished, tmp_path, started
):
    project = finished.clone(root, tmp_path / "project")

    def too_little(config):
        config["resources"]["train_arm"] = {"mem_mb": 200, "runtime": 10}

    project.configure(too_little)
    begin = time.time()
    project.snakemake(*SLURM, "--retries", "3")
    jobs = shown(accounts(started))
    print(f"{len(jobs)} Slurm jobs, {time.time() - begin:.0f} s")

    training = of(jobs, "train_arm")
    killed = [job for job in training if job["peak"] > job["asked"]]
    done = [job for job in training if job["state"] == "COMPLETED"]
    assert killed, training
    assert not [job for job in killed if job["state"] == "COMPLETED"]
    assert len(done) == 2, training
    for job in done:  # twice the memory and time per attempt
        assert job["asked"] in (400, 800, 1600), job
        assert job["minutes"] == 10 * job["asked"] / 200, job
    assert len(of(jobs, "rule_score")) == 1, "evaluations are submitted together"
    assert len(of(jobs, "rule_finish")) == 1
    assert project.tables() == finished.tables()
    assert "Nothing to be done" in project.snakemake("-n")


def test_a_cancelled_job_is_tried_again_and_a_drained_node_waited_for(
    slurm, finished, project, started
):
    project.forget("hepg2/ptrag")
    process = project.start(*SLURM)
    wait_until(lambda: running(project.folder), process)
    job, *_ = running(project.folder)
    node("drain")
    try:
        subprocess.run(["scancel", job], check=True)
        wait_until(lambda: "train_arm" in command("squeue --me -h -t PD -o %k"), process)
        time.sleep(5)
        assert not running(project.folder), "nothing starts on a drained node"
    finally:
        node("resume")
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said[-4000:]
    states = {job["state"] for job in of(shown(accounts(started)), "train_arm")}
    assert states == {"CANCELLED", "COMPLETED"}
    assert project.tables() == finished.tables()


def test_a_killed_workflow_goes_on_and_its_jobs_do_not_linger(slurm, finished, project, started):
    project.forget("hepg2/ptrag")
    process = project.start(*SLURM)
    wait_until(lambda: running(project.folder), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert running(project.folder), "nobody could cancel it"
    project.snakemake(*SLURM)
    training = of(shown(accounts(started)), "train_arm")
    assert [job["state"] for job in training] == ["CANCELLED", "COMPLETED"]
    assert project.tables() == finished.tables()
