"""Validation: the same numbers as the prediction that is scored, and no sampling noise."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from training_cases import make_home, make_job

from ptrag.base.files import read_table
from ptrag.cells.store import CellStore
from ptrag.prediction import prediction
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.prediction import GivenControls
from ptrag.splits.protocols import read_split
from ptrag.training.run import train

ARMS = {
    "state_genept_residual": {"rag": False, "use_genept": True},
    "ptrag_residual": {"rag": True, "use_genept": True, "topk_rag": 4},
    "response_rag": {"rag": True, "use_genept": True, "topk_rag": 4},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("validation"))


@pytest.mark.parametrize("arm", ARMS)
def test_it_measures_the_profile_that_the_bundle_predicts(home, tmp_path, arm):
    """Against the way of the workflow: bundle, prediction, and the metrics written out in NumPy."""
    train(make_job(home, tmp_path, arm, ARMS[arm], monitor="pearson_delta"))
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.about["step"] > 0 or arm == "response_rag"  # whose expert is hard to better
    store, split = CellStore(home / "cells.h5ad"), read_split(home / "split.tsv")
    expected = []
    for line, perturbation in split.pairs("val"):
        given = GivenControls.of_store(store, line)
        predicted = bundle.predictor.predict(given, perturbation)
        real = store.cells(line, perturbation).astype(float)
        observed, control = real.mean(axis=0), given.mean
        cells = predicted.cells.astype(float)
        expected.append(
            (
                ((predicted.profile - observed) ** 2).mean(),
                2 * cdist(cells, real).mean() - pdist(cells).mean() - pdist(real).mean(),
                np.corrcoef(predicted.profile - control, observed - control)[0, 1],
            )
        )
    history = read_table(tmp_path / "history.tsv")
    kept = history[(history["split"] == "val") & (history["step"] == bundle.about["step"])]
    validated = kept.set_index("metric")["value"]
    for metric, value in zip(("mse", "energy", "pearson_delta"), np.mean(expected, 0), strict=True):
        assert validated[metric] == pytest.approx(value, abs=2e-5), metric


def test_equal_weights_validate_equally(home, tmp_path):
    """Published gates are random: their noise is the same at every validation."""
    options = ARMS["ptrag_residual"] | {"published": True}
    values = []
    for seed in (1, 2):
        job = make_job(
            home, tmp_path / str(seed), "ptrag", options, seed,
            learning_rate=1e-30, averaging=0.0, max_steps=8,
        )  # fmt: skip
        train(job)
        history = read_table(job.history)
        values.append(history[(history["split"] == "val")].pivot(index="step", columns="metric"))
    for table in values:
        assert (table.to_numpy() == table.to_numpy()[0]).all()


def test_yardstick_controls_are_not_read(home, tmp_path, monkeypatch):
    """With other values in their place the history has the same bytes."""
    from ptrag.cells.controls import YARDSTICK
    from ptrag.training import run

    train(make_job(home, tmp_path / "as_it_is", "ptrag_residual", ARMS["ptrag_residual"]))
    store = CellStore(home / "cells.h5ad")
    X = np.array(store.X)
    for line in store.lines:
        X[store.control_rows(line, YARDSTICK)] = 7.0
    monkeypatch.setattr(CellStore, "X", X)
    monkeypatch.setattr(run, "store_digest", lambda store: "planted")
    train(make_job(home, tmp_path / "planted", "ptrag_residual", ARMS["ptrag_residual"]))
    one, other = (tmp_path / name / "history.tsv" for name in ("as_it_is", "planted"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_a_large_block_is_thinned_evenly(monkeypatch, most):
    monkeypatch.setattr(prediction, "PROFILE_CELLS", most)
    for n in (1, 6, 7, 8, 50):
        rows = prediction.evenly(n)
        assert 1 <= len(rows) <= min(n, most)
        assert len(rows) > min(n, most) / 2
        assert len(set(np.diff(rows))) <= 1
