"""``response_rag``: its expert until training betters it, its evidence, what it depends on."""

from copy import copy, deepcopy
from dataclasses import replace

import numpy as np
import pytest
from training_cases import make_home, make_job

from ptrag.arms.estimate import Candidate, Estimate
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.prediction import prediction
from ptrag.prediction.closed_form import ClosedFormPredictor
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.prediction import GivenControls
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
        train(make_job(home, out, "response_rag", OPTIONS, learning_rate=rate))
        return load_bundle(out / "bundle").predictor

    return {rate: at(rate) for rate in (1e-30, 0.01)}


@pytest.fixture(scope="module")
def expert(home, store, split):
    responses = Responses.measured(store, split)
    embedding = read_embedding(home / "text.h5ad")
    neighbours = read_neighbours(home / "index")
    return load_arm("response_expert").fit(responses, embedding, neighbours, OPTIONS)


def test_untrained_it_is_its_expert(store, split, trained, expert):
    for line, name in split.pairs("test"):
        given = GivenControls.of_store(store, line)
        predicted = trained[1e-30].predict(given, name)
        expected = ClosedFormPredictor({"fit": expert}).predict(given, name)
        np.testing.assert_allclose(predicted.profile, expected.profile, atol=1e-6)
        cells = np.asarray(given.cells, np.float64)
        for gene in range(0, store.n_genes, 5):
            shift = _shift(cells[:, gene], expected.profile[gene])
            start = np.maximum(cells[predicted.rows, gene] + shift, 0)
            np.testing.assert_allclose(predicted.cells[:, gene], start, atol=1e-5)


def _shift(values, goal):
    """What to add to values, none below 0, so that their mean is the goal: by bisection."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        below = np.maximum(values + middle, 0).mean() < goal
        low, high = (middle, high) if below else (low, middle)
    return high


def test_a_profile_is_what_all_given_controls_become_and_cells_what_the_drawn_ones_do(
    store, split, trained
):
    for bundle in trained.values():
        for line, name in split.pairs("test")[:5]:
            given = GivenControls.of_store(store, line)
            few, every = bundle.predict(given, name, 8), bundle.predict(given, name)
            assert len(few.cells) == 8 < len(every.cells)
            mean = every.cells.mean(axis=0, dtype=float)
            np.testing.assert_allclose(few.profile, mean, atol=1e-5)
            assert np.abs(few.cells.mean(axis=0, dtype=float) - mean).max() > 0.01


def test_training_changes_it_only_where_validation_betters(trained):
    about = trained[0.01].about
    moved = float(trained[0.01].network.gate.detach()) != 0
    assert moved == (about["step"] > 0)


def test_without_its_residual_it_is_its_expert(store, split, trained):
    """A gate opened by hand: what it lets through is gone without it, and comes back with it."""
    learnt = trained[1e-30]
    opened = copy(learnt)
    opened.network = deepcopy(learnt.network)
    opened.network.gate.data.fill_(0.5)
    alone = opened.without_residual()
    for line, name in split.pairs("test")[:4]:
        given = GivenControls.of_store(store, line)
        with_it, without, expected = (
            predictor.predict(given, name) for predictor in (opened, alone, learnt)
        )
        np.testing.assert_allclose(without.profile, expected.profile, atol=1e-6)
        np.testing.assert_allclose(without.cells, expected.cells, atol=1e-6)
        assert np.abs(with_it.profile - expected.profile).max() > 1e-3
    assert float(opened.network.gate) == 0.5


def test_the_expert_gives_way_only_to_a_gain_beyond_its_standard_error():
    from ptrag.training.milestones import clear

    groups = ["p", "p", "q", "q", "r", "r"]
    assert clear(np.array([1.0, 1.2, 0.9, 1.1, 1.0, 1.0]), groups)
    assert not clear(np.array([3.0, 3.0, -1.0, -1.0, -1.0, -1.0]), groups)  # one perturbation's
    assert not clear(np.array([5.0, 4.0]), ["p", "p"])  # nothing to tell an error from


@pytest.mark.parametrize("at_most", [10**6, 3])
def test_evidence_is_the_change_of_the_prediction_without_it(
    store, split, trained, monkeypatch, at_most
):
    """For an expert that retrieves two entries; each prediction without one is asked for anew."""
    monkeypatch.setattr(prediction, "EVIDENCE_CELLS", at_most)
    predictor, rng = trained[0.01], np.random.default_rng(0)
    assert predictor.set_size > 3
    line, name = split.pairs("test")[0]
    given = GivenControls.of_store(store, line)
    whole, *without = rng.normal(0, 0.3, (3, store.n_genes))
    candidates = tuple(
        Candidate(f"G{i}", line, 0.5 - 0.1 * i, 1.0 - i, delta) for i, delta in enumerate(without)
    )

    def predicted(delta, retrieved=()):
        def expert(*_):
            return Estimate(delta, retrieved)

        expert.responses = predictor.expert.responses
        with monkeypatch.context() as patch:
            patch.setattr(predictor, "expert", expert)
            return predictor.predict(given, name)

    made = predicted(whole, candidates)
    assert list(made.evidence["candidate"]) == [candidate.name for candidate in candidates]
    assert list(made.evidence["gate"]) == [1.0, 0.0]
    mean = made.cells[:at_most].mean(axis=0, dtype=np.float64)
    for delta, effect in zip(without, made.evidence["effect"], strict=True):
        other = predicted(delta).cells[:at_most].mean(axis=0, dtype=np.float64)
        assert effect == pytest.approx(np.linalg.norm(other - mean), abs=1e-6)
        assert effect > 0.1


def test_neither_seed_nor_batch_size_changes_it(store, split, trained, monkeypatch):
    line, name = split.pairs("test")[0]
    given = GivenControls.of_store(store, line)
    one = trained[0.01].predict(given, name, seed=1).cells
    monkeypatch.setattr("ptrag.prediction.network.SETS", 1)
    other = trained[0.01].predict(given, name, seed=2).cells
    assert np.abs(one - other).max() < 1e-5


def test_it_has_a_word_on_a_perturbation_nobody_measured_and_says_so(store, split, trained):
    line = store.lines[0]
    given = GivenControls.of_store(store, line)
    made = trained[0.01].predict(given, "NOBODY")
    assert made.evidence["note"].str.contains("the level of the line").all()
    assert len(made.evidence) == 1


def test_an_unknown_line_is_named(store, split, trained):
    with pytest.raises(PtragError, match="cell line 'z': unknown"):
        trained[0.01].predict(replace(GivenControls.of_store(store, "a"), line="z"), "G1")


def test_the_published_schedule_does_not_open_the_gate_of_an_expert(home, tmp_path):
    """Whatever training did last: the untrained weights stay where validation gains nothing."""
    train(make_job(home, tmp_path, "response_rag", OPTIONS, learning_rate=3.0, published=True))
    assert load_bundle(tmp_path / "bundle").about["step"] == 0
