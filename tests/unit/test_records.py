import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import records

from ptrag.base.errors import PtragError


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


def record(folder, file, content):
    """Write a record as Snakemake names it: base 64, a long name over several folders."""
    name = base64.b64encode(file.encode(), b"-_").decode()
    path = folder.joinpath(*["@" + name[i : i + 60] for i in range(0, len(name) - 60, 60)])
    path = path / name[len(name) - len(name) % 60 :] if len(name) > 60 else folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_results_of_one_data_set_take_their_records_along(folder):
    metadata, home = folder / ".snakemake/metadata", Path("results/mine")
    long = "results/mine/hepg2/response_expert@shuffled/seed1/predictions.h5ad"
    for file in ("results/mine/cells.h5ad", long, "results/other/cells.h5ad"):
        record(metadata, file, file)
    records.leave_with(home)
    kept = [path.read_text() for path in (home / ".snakemake").rglob("*") if path.is_file()]
    assert sorted(kept) == sorted(["results/mine/cells.h5ad", long])
    shutil.rmtree(metadata)
    records.adopt(home)
    assert sorted(p.read_text() for p in metadata.rglob("*") if p.is_file()) == sorted(kept)


def test_content_decides_whatever_the_time(folder):
    file = folder / "source.h5ad"
    file.write_bytes(b"one")
    first = records.content(file)
    assert first == hashlib.sha256(b"one").hexdigest()
    os.utime(file)
    assert records.content(file) == first
    file.write_bytes(b"two")
    os.utime(file, (1577836800, 1577836800))
    assert records.content(file) == hashlib.sha256(b"two").hexdigest()
    (folder / "folder.zarr").mkdir()
    (folder / "folder.zarr/.zgroup").write_text("{}")
    empty = records.content(folder / "folder.zarr")
    (folder / "folder.zarr/part").write_text("x")
    assert records.content(folder / "folder.zarr") != empty


def test_a_key_that_is_there_twice_is_named(folder):
    (folder / "mine.yaml").write_text("training:\n  max_steps: 3\n  max_steps: 4\n")
    settings = SimpleNamespace(configfiles=[folder / "mine.yaml"], config={"dataset": "x"})
    workflow = SimpleNamespace(config_settings=settings, configfiles=[folder / "mine.yaml"])
    with pytest.raises(PtragError, match=r"^mine\.yaml: max_steps: is there twice .line 2."):
        records.config_files(workflow, {})
    (folder / "mine.yaml").write_text("training: {max_steps: 3}\n")
    files = records.config_files(workflow, {})
    assert files.of(["training", "max_steps"]) == "mine.yaml"
    assert files.of(["dataset"]) == "--config"
