"""Killed at random moments, the workflow goes on to the tables of an unbroken run."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

KILLS = 20
LONGEST = 20.0  # seconds that a workflow may live before it is killed


def kill(process, whole_group):
    """SIGKILL snakemake and its jobs, or snakemake alone: its jobs must notice."""
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def test_killed_at_random_moments_it_ends_with_the_same_tables(finished, root, tmp_path):
    draw = random.Random(1)
    project = finished.clone(root, tmp_path / "project")
    expected = finished.tables()
    kills, ends, recoveries = [], 0, []
    while len(kills) < KILLS or not ends:
        start = time.time()
        process = project.start(start_new_session=True)
        try:
            limit = draw.uniform(1, LONGEST) if len(kills) < KILLS else 600
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            kill(process, whole_group=draw.random() < 0.5)
            kills.append(limit)
        else:
            assert process.returncode == 0, said[-4000:]
            assert project.tables() == expected
            assert not list((project.folder / "results").rglob("*.part"))
            ends += 1
            if len(kills) < KILLS:
                shutil.rmtree(project.folder / "results/tiny")
        holder = project.folder / ".snakemake/holder.json"
        if kills and holder.exists() and holder.stat().st_mtime > start:
            recoveries.append(holder.stat().st_mtime - start)
    print(
        f"\n{len(kills)} kills after {min(kills):.1f} to {max(kills):.1f} s, {ends} times to the "
        f"end with identical tables; slowest recovery {max(recoveries):.1f} s"
    )
