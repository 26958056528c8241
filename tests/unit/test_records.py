import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import records


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lock(folder):
    locks = folder / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/x\n")
    return locks


def held_by(process):
    records.hold()
    holder = json.loads(records.HOLDER.read_text())
    holder |= {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}
    records.HOLDER.write_text(json.dumps(holder))


def test_a_live_holder_is_named_and_its_lock_stays(folder):
    locks = lock(folder)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        held_by(process)
        assert re.search(f"process {process.pid} of .* on .* since", records.clear_stale_lock())
        assert any(locks.iterdir())
    finally:
        process.communicate(b"\n")


def test_the_lock_of_a_dead_holder_goes(folder):
    locks = lock(folder)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    held_by(process)
    process.kill()
    process.wait()
    assert records.clear_stale_lock() is None
    assert not locks.exists()
    assert not records.HOLDER.exists()


def test_without_holder_a_lock_is_left_to_snakemake(folder):
    locks = lock(folder)
    records.clear_stale_lock()
    assert any(locks.iterdir())


def test_records_move_beside_the_results_once(folder):
    old = folder / ".snakemake" / "metadata"
    old.mkdir(parents=True)
    (old / "record").write_text("made by rule a")
    for _ in range(2):
        records.keep_beside(Path("results"))
    assert (folder / "results/.snakemake/record").read_text() == "made by rule a"
    assert (folder / ".snakemake/metadata/record").read_text() == "made by rule a"


def test_a_holder_on_another_machine_counts_while_there_are_locks(folder):
    locks = lock(folder)
    records.hold()
    holder = json.loads(records.HOLDER.read_text())
    records.HOLDER.write_text(json.dumps(holder | {"host": "elsewhere"}))
    assert "on elsewhere" in records.clear_stale_lock()
    (locks / "0.output.lock").unlink()  # what `snakemake --unlock` does
    assert records.clear_stale_lock() is None


def test_cluster_jobs_left_in_this_folder_are_cancelled_and_no_others(folder, monkeypatch):
    """A stand-in for squeue and scancel: a file is the queue."""
    left = f"7 0b0ed9ae-30a6-4e25-9d0b-5d0d7a9f3c11 {folder}"
    others = [
        f"8 0b0ed9ae-30a6-4e25-9d0b-5d0d7a9f3c11 {folder}/elsewhere",
        f"9 my-own-script {folder}",  # such as the job in which snakemake itself runs
    ]
    queue = folder / "queue"
    queue.write_text("\n".join([left, *others]) + "\n")
    for name, does in (("squeue", f"cat {queue}"), ("scancel", f'sed -i "/^$1 /d" {queue}')):
        command = folder / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{does}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    records.cancel_cluster_jobs()
    assert queue.read_text().splitlines() == others
