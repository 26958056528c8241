import json
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
        with pytest.raises(records.LockedError, match=f"process {process.pid} of .* on .* since"):
            records.clear_stale_lock()
        assert any(locks.iterdir())
    finally:
        process.communicate(b"\n")


def test_the_lock_of_a_dead_holder_goes(folder):
    locks = lock(folder)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    held_by(process)
    process.kill()
    process.wait()
    records.clear_stale_lock()
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
