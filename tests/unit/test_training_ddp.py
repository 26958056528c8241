"""Several processes train one network: the weights of one process with the same global batch."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file
from training_cases import MODEL, TRAINING, make_home

pytestmark = pytest.mark.slow  # each process imports torch and Lightning

SCRIPT = """
import json, os, sys
from pathlib import Path
from ptrag.training import milestones
from ptrag.training.job import TrainingJob
from ptrag.training.run import train

arguments = json.loads(sys.argv[1])
stop = arguments.pop("stop")
if stop:
    milestones.SAVE_SECONDS = -1  # a checkpoint after every step
    original = milestones.Milestones.on_train_batch_end

    def end(self, *rest):
        original(self, *rest)
        if self.done == stop:
            os._exit(9)

    milestones.Milestones.on_train_batch_end = end
paths = ("cells", "split", "embedding", "bundle", "history")
train(TrainingJob(**arguments | {key: Path(arguments[key]) for key in paths}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("training"))


def run(home, folder, devices, stop=0):
    """Train ``state_genept`` without dropout: nothing is random, so processes draw nothing."""
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(SCRIPT)
    strategy = "ddp" if devices > 1 else "auto"
    arguments = {
        "cells": str(home / "cells.h5ad"), "split": str(home / "split.tsv"),
        "embedding": str(home / "text.h5ad"), "index": None, "arm": "state_genept",
        "options": {"rag": False, "use_genept": True}, "model": MODEL | {"dropout": 0.0},
        "training": TRAINING | {"devices": devices, "strategy": strategy}, "seed": 1,
        "bundle": str(folder / "bundle"), "history": str(folder / "history.tsv"), "stop": stop,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, script, json.dumps(arguments)], capture_output=True, text=True, timeout=900
    )
    assert (done.returncode == 0) == (stop == 0), done.stderr[-3000:]
    return folder


def weights(folder):
    return load_file(folder / "bundle/weights.safetensors")


# Adam divides a gradient by its own size, so that rounding shows most where it is smallest.
ROUNDING = 1e-5  # of weights that 12 steps of 0.01 have moved by up to 0.1


def test_two_processes_train_to_the_weights_of_one(home, tmp_path):
    one = weights(run(home, tmp_path / "one", devices=1))
    two = weights(run(home, tmp_path / "two", devices=2))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=ROUNDING, err_msg=name)


def test_two_processes_go_on_from_their_checkpoint_to_the_same_bytes(home, tmp_path):
    whole = run(home, tmp_path / "whole", devices=2)
    broken = run(home, tmp_path / "broken", devices=2, stop=5)
    assert (broken / "checkpoints/last.ckpt").exists()
    run(home, broken, devices=2)
    for name in ("bundle/weights.safetensors", "history.tsv"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
