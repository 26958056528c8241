"""``response_rag``: its expert until training betters it, its evidence, what it depends on."""

import anndata
import numpy as np
import pytest
from training_cases import MODEL, TRAINING, make_home

from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.prediction.bundle import load_bundle
from ptrag.prediction.emission import shift_cells
from ptrag.prediction.predict import predict_neural
from ptrag.retrieval.index import read_neighbours
from ptrag.splits.protocols import read_split
from ptrag.training.run import train

OPTIONS = {"rag": True, "use_genept": True, "topk_rag": 4}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("response_rag"), n_cells=20, n_controls=40)


@pytest.fixture(scope="module")
def store(home):
    return CellStore(home / "cells.h5ad")


@pytest.fixture(scope="module")
def split(home):
    return read_split(home / "split.tsv")


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    """Predictors by learning rate."""

    def at(rate):
        out = tmp_path_factory.mktemp("run")
        train(
            home / "cells.h5ad", home / "split.tsv", home / "text.h5ad", home / "index",
            "response_rag", OPTIONS, MODEL, TRAINING | {"learning_rate": rate}, 1,
            out / "bundle", out / "history.tsv",
        )  # fmt: skip
        return load_bundle(out / "bundle")

    return {rate: at(rate) for rate in (1e-30, 0.01)}


@pytest.fixture(scope="module")
def expert(home, store, split):
    responses = Responses.measured(store, split)
    embedding = read_embedding(home / "text.h5ad")
    neighbours = read_neighbours(home / "index")
    return load_arm("response_expert").fit(responses, embedding, neighbours, OPTIONS)


def test_untrained_it_is_its_expert(store, split, trained, expert):
    for line, name in split.pairs("test"):
        controls = np.asarray(store.controls(line))
        expected = shift_cells(controls, expert(line, name).delta)
        predicted = trained[1e-30].predict(controls, name, line=line).cells
        assert np.abs(predicted - expected).max() < 1e-6


def test_cells_of_a_pair_have_the_mean_of_what_all_controls_become(
    store, split, trained, expert, tmp_path
):
    """Not of what the few become that were drawn for the pair; untrained: the expert's mean."""
    settings = {"cells_per_pair": 8}
    for rate, bundle in trained.items():
        path = tmp_path / f"{rate}.h5ad"
        predict_neural(bundle, store, split, settings, path, tmp_path / f"{rate}.tsv")
        data = anndata.read_h5ad(path)
        for line, name in split.pairs("test")[:5]:
            its = ((data.obs["cell_line"] == line) & (data.obs["perturbation"] == name)).to_numpy()
            assert its.sum() < len(store.controls(line))
            every = bundle.predict_cells(np.asarray(store.controls(line)), name, line=line)
            made = data.X[its].mean(axis=0, dtype=float)
            np.testing.assert_allclose(made, every.mean(axis=0, dtype=float), atol=1e-5)
            if rate < 1e-20:
                said = np.maximum(store.mean(line, "control") + expert(line, name).delta, 0)
                np.testing.assert_allclose(made, said, atol=1e-5)


def test_training_changes_it_only_where_validation_betters(trained):
    about = trained[0.01].about
    moved = float(trained[0.01].network.gate.detach()) != 0
    assert moved == (about["step"] > 0)


def test_the_expert_gives_way_only_to_a_gain_beyond_its_standard_error():
    from ptrag.training.milestones import clear

    groups = ["p", "p", "q", "q", "r", "r"]
    assert clear(np.array([1.0, 1.2, 0.9, 1.1, 1.0, 1.0]), groups)
    assert not clear(np.array([3.0, 3.0, -1.0, -1.0, -1.0, -1.0]), groups)  # one perturbation's
    assert not clear(np.array([5.0, 4.0]), ["p", "p"])  # nothing to tell an error from


def test_evidence_is_the_change_of_the_prediction_without_it(
    store, split, trained, expert, monkeypatch
):
    predictor = trained[0.01]
    line, name = split.pairs("test")[0]
    controls = np.asarray(store.controls(line))
    made = predictor.predict(controls, name, line=line, evidence=True)
    estimate = expert(line, name)
    assert list(made.evidence["candidate"]) == [c.name for c in estimate.candidates]
    assert np.allclose(made.evidence["gate"].astype(float), [c.weight for c in estimate.candidates])
    whole = made.cells.mean(axis=0, dtype=np.float64)
    for candidate, effect in zip(estimate.candidates, made.evidence["effect"], strict=True):
        with monkeypatch.context() as patch:
            said = estimate._replace(delta=candidate.without)
            patch.setattr(predictor, "expert", lambda *_, said=said: said)
            cells = predictor.predict(controls, name, line=line).cells
        without = cells.mean(axis=0, dtype=np.float64)
        assert effect == pytest.approx(np.linalg.norm(without - whole), abs=1e-6)


def test_neither_seed_nor_batch_size_changes_it(store, split, trained, monkeypatch):
    line, name = split.pairs("test")[0]
    controls = np.asarray(store.controls(line))
    one = trained[0.01].predict(controls, name, line=line, seed=1).cells
    monkeypatch.setattr("ptrag.prediction.predictor.SETS", 1)
    other = trained[0.01].predict(controls, name, line=line, seed=2).cells
    assert np.abs(one - other).max() < 1e-5


def test_it_has_a_word_on_a_perturbation_nobody_measured_and_says_so(store, split, trained):
    line = store.lines[0]
    controls = np.asarray(store.controls(line))
    made = trained[0.01].predict(controls, "NOBODY", line=line, evidence=True)
    assert made.evidence["note"].str.contains("line_mean").all()
    assert len(made.evidence) == 1


def test_an_unknown_line_is_named(store, split, trained):
    with pytest.raises(PtragError, match="cell line 'z': unknown"):
        trained[0.01].predict(np.asarray(store.controls("a")), "G1", line="z")
