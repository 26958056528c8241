"""Predictions that are killed go on where they were, to the same bytes."""

import multiprocessing
import os
import signal

import numpy as np
import pandas as pd
import pytest
from small_screen import LINES, PERTURBATIONS, make_bundle

from ptrag.base.files import write_table
from ptrag.cells.store import CellStore
from ptrag.prediction import resumed as module
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.prediction import GivenControls, Prediction
from ptrag.prediction.resumed import resumed

PAIRS = [(line, name) for line in LINES for name in PERTURBATIONS]


class Counted:
    """A predictor that counts the pairs it is asked for, and may kill itself at one of them."""

    def __init__(self, predictor, killed_at=None):
        self.predictor, self.killed_at, self.asked = predictor, killed_at, 0

    def predict(self, controls, perturbation, n_cells=None):
        self.asked += 1
        if self.asked == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.predictor.predict(controls, perturbation, n_cells)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    bundle = make_bundle(folder, "ptrag")
    store = CellStore(folder / "cells.h5ad")
    return bundle, {line: GivenControls.of_store(store, line) for line in LINES}


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)


def everything(predictor, controls):
    return [predictor.predict(controls[line], name, 8) for line, name in PAIRS]


def content(predictions, folder):
    """Bytes of what is written of predictions: numbers, and the table of evidence."""
    numbers = [p._replace(evidence=None) for p in predictions]
    write_table(pd.concat([p.evidence for p in predictions]), folder / "evidence.tsv")
    fields = [
        np.asarray(x).tobytes() for p in numbers for x in p if x is not None
    ]  # fmt: skip
    return fields, (folder / "evidence.tsv").read_bytes()


def killed(bundle, controls, cells, depends_on, at):
    """Predict in a process that is killed at a pair."""

    def work():
        counted = Counted(load_bundle(bundle, "cpu").predictor, killed_at=at)
        with resumed(counted, cells, depends_on) as keeping:
            everything(keeping, controls)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("at", "left"), [(2, 12), (5, 8), (12, 4)])
def test_after_a_kill_whole_blocks_are_not_predicted_again(screen, tmp_path, at, left):
    bundle, controls = screen
    cells, depends_on = tmp_path / "predictions.h5ad", {"checkpoint": "x"}
    unbroken = content(everything(load_bundle(bundle, "cpu").predictor, controls), tmp_path)
    killed(bundle, controls, cells, depends_on, at)
    counted = Counted(load_bundle(bundle, "cpu").predictor)
    with resumed(counted, cells, depends_on) as keeping:
        assert content(everything(keeping, controls), tmp_path) == unbroken
    assert counted.asked == left
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_another_bundle_or_other_code_has_predicted_is_left_aside(screen, tmp_path):
    bundle, controls = screen
    cells = tmp_path / "predictions.h5ad"
    killed(bundle, controls, cells, {"code": "old"}, 9)
    counted = Counted(load_bundle(bundle, "cpu").predictor)
    with resumed(counted, cells, {"code": "new"}) as keeping:
        everything(keeping, controls)
    assert counted.asked == len(PAIRS)


def test_every_field_of_a_prediction_comes_back_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    evidence = pd.DataFrame(
        {"candidate": ["A", None], "rank": [1, 2], "similarity": [0.1 + 0.2, np.nan]}
    )
    kinds = {"cells": np.float32, "rows": np.int64}
    arrays = {
        name: rng.random((3, 2)).astype(kinds.get(name, np.float64))
        for name in Prediction._fields
        if name != "evidence"
    }
    made = Prediction(**arrays, evidence=evidence)

    class Fixed:
        def predict(self, controls, perturbation, n_cells=None):
            return made

    with pytest.raises(KeyboardInterrupt), resumed(Fixed(), tmp_path / "x.h5ad", {}) as keeping:
        for name in "ABCD":
            keeping.predict(GivenControls("k562", np.zeros((1, 2)), ["c"]), name)
        raise KeyboardInterrupt
    with resumed(None, tmp_path / "x.h5ad", {}) as keeping:
        again = keeping.predict(GivenControls("k562", np.zeros((1, 2)), ["c"]), "A")
    for name, values in arrays.items():
        np.testing.assert_array_equal(getattr(again, name), values)
        assert getattr(again, name).dtype == values.dtype
    pd.testing.assert_frame_equal(again.evidence, evidence)
