import numpy as np
import pandas as pd
import pytest
import torch
from small_screen import OPTIONS, SET, G, K, make_bundle

from ptrag.arms.neural.networks import Batch
from ptrag.base.errors import PtragError
from ptrag.base.random import keyed_rng
from ptrag.prediction import network as module
from ptrag.prediction import prediction
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.prediction import GivenControls

RETRIEVING = ["ptrag", "ptrag_residual", "vanilla_rag"]


@pytest.fixture(scope="module")
def predictors(tmp_path_factory):
    return {
        arm: load_bundle(make_bundle(tmp_path_factory.mktemp(arm), arm), "cpu").predictor
        for arm in OPTIONS
    }


def controls(n=11, seed=0):
    return np.random.default_rng(seed).gamma(1.0, 1.0, (n, G)).astype(np.float32).clip(0, 9)


def given(X, line="", batch=None):
    batches = None if batch is None else np.array(batch, dtype=object)
    return GivenControls(line, X, [f"c{i}" for i in range(len(X))], batches)


def cells_of(predictor, X, name, seed=None, **facts):
    return predictor.predict(given(X, **facts), name, seed=seed).cells


def one_set(predictor, cells, name, code):
    """Ask the network for one set, written out."""
    return some_sets(predictor, cells[None], name, code)


def some_sets(predictor, cells, name, code, **more):
    """Ask the network for (B, S, G) cells of one perturbation, written out."""
    distinct, query, candidates = predictor.perturbations.look_up(
        np.array([predictor.perturbations.number(name)])
    )
    batch = Batch(
        torch.from_numpy(cells),
        torch.full(cells.shape[:2], code),
        torch.from_numpy(predictor.perturbations.features[distinct]),
        torch.from_numpy(query).expand(len(cells)),
        torch.from_numpy(candidates).expand(len(cells), -1),
    )
    with torch.no_grad():
        return predictor.network(batch._replace(**more))


@pytest.mark.parametrize("n", [1, SET - 1, SET, SET + 1, 3 * SET, 3 * SET + 2])
@pytest.mark.parametrize("arm", ["state", "ptrag_residual", "ptrag"])
def test_every_number_of_controls_gives_as_many_cells(arm, n, predictors):
    made = predictors[arm].predict(given(controls(n)), "A")
    assert made.cells.shape == (n, G)
    assert made.cells.dtype == np.float32
    assert np.isfinite(made.cells).all()
    assert made.cells.min() >= 0
    assert len(made.evidence) == (K if arm in RETRIEVING else 0)


def test_sets_are_those_of_training_and_the_last_is_filled_up_from_the_first_cells(predictors):
    predictor, X = predictors["ptrag_residual"], controls(2 * SET + 1)
    made = cells_of(predictor, X, "D", batch=["batch1"] * len(X))
    for start in range(0, len(X), SET):
        rows = np.arange(start, start + SET) % len(X)
        oracle = one_set(predictor, X[rows], "D", code=1).cells[0].numpy()
        asked = min(SET, len(X) - start)
        np.testing.assert_allclose(
            made[start : start + asked], oracle[:asked], rtol=1e-5, atol=1e-5
        )


def test_an_unknown_batch_is_the_mean_of_those_trained_on(predictors):
    predictor, X = predictors["state"], controls(SET)
    one = cells_of(predictor, X, "A")
    np.testing.assert_array_equal(one, cells_of(predictor, X, "A", batch=["new"] * SET))
    of_each = [cells_of(predictor, X, "A", batch=[name] * SET) for name in predictor.batches]
    assert all(np.abs(one - other).max() > 0 for other in of_each)
    embedding = predictor.network.batch_embedding.weight
    torch.testing.assert_close(embedding[-1], embedding[:-1].mean(0))


def test_ptrag_residual_depends_on_no_batch_mates_and_no_seed(predictors, monkeypatch):
    predictor, X = predictors["ptrag_residual"], controls(5 * SET)
    whole = cells_of(predictor, X, "B+C", seed=1)
    np.testing.assert_array_equal(whole, cells_of(predictor, X, "C+B", seed=2, line="rpe1"))
    torch.manual_seed(99)
    np.testing.assert_array_equal(whole, cells_of(predictor, X, "B+C"))
    sets = [4, 2, 0, 3, 1]
    turned = cells_of(predictor, X.reshape(5, SET, G)[sets].reshape(-1, G), "B+C")
    np.testing.assert_allclose(
        turned.reshape(5, SET, G), whole.reshape(5, SET, G)[sets], 1e-5, 1e-5
    )
    for size in (1, 2, 3):
        monkeypatch.setattr(module, "SETS", size)
        np.testing.assert_allclose(cells_of(predictor, X, "B+C"), whole, 1e-5, 1e-5)


def test_gate_noise_of_ptrag_is_a_function_of_its_key(predictors):
    predictor, X = predictors["ptrag"], controls(3 * SET)

    def ask(*arguments, **facts):
        return cells_of(predictor, *arguments, **facts)

    torch.manual_seed(0)
    first = ask(X, "A", line="k562")
    torch.manual_seed(1)
    np.testing.assert_array_equal(first, ask(X, "A", line="k562"))
    np.testing.assert_array_equal(first, ask(X, "A", line="k562", seed=3))  # that of the training
    assert np.abs(first - ask(X, "A", line="k562", seed=4)).max() > 0
    assert np.abs(first - ask(X, "A", line="rpe1")).max() > 0


@pytest.mark.parametrize(
    ("at_most", "worked_out"), [(32, 2 * SET), (SET + 1, 2 * SET), (SET, SET), (SET - 1, SET - 1)]
)
@pytest.mark.parametrize("arm", RETRIEVING)
def test_evidence_is_what_deleting_a_candidate_does(
    arm, at_most, worked_out, predictors, monkeypatch
):
    """Recomputed set by set, without the predictor; on some cells, as they are among all."""
    monkeypatch.setattr(prediction, "EVIDENCE_CELLS", at_most)
    predictor, X = predictors[arm], controls(2 * SET)
    evidence = predictor.predict(given(X, batch=["batch0"] * len(X)), "A").evidence
    known = predictor.perturbations
    row = known.number("A")
    assert list(evidence["candidate"]) == [known.names[i] for i in known.candidates[row]]
    assert list(evidence["rank"]) == [1, 2, 3]
    np.testing.assert_array_equal(evidence["similarity"], known.similarity[row])

    sets, more = X.reshape(2, SET, G), {}
    if arm == "ptrag":  # its gates are drawn, by a key
        noise = keyed_rng(predictor.about["seed"], "gates", "", "A").logistic(size=(2, SET, K))
        more["noise"] = torch.from_numpy(noise.astype(np.float32))
    whole = some_sets(predictor, sets, "A", 0, **more)
    gates = whole.gates.flatten(0, 1).numpy()
    np.testing.assert_allclose(evidence["gate"], gates.mean(0), rtol=1e-5)
    for k in range(K):
        keep = torch.ones(2, K, dtype=torch.bool)
        keep[:, k] = False
        without = some_sets(predictor, sets, "A", 0, keep=keep, **more)
        change = (without.cells - whole.cells).double().flatten(0, 1)[:worked_out].mean(0)
        assert evidence["effect"][k] == pytest.approx(change.norm().item(), rel=2e-5, abs=1e-6)
    assert (evidence["effect"] > 0).any()


def test_a_candidate_that_no_cell_takes_has_no_effect(predictors):
    predictor = predictors["ptrag"]
    rows = [
        predictor.predict(given(controls(3)), name, seed=seed).evidence
        for name in ("A", "D", "F") for seed in range(6)
    ]  # fmt: skip
    evidence = pd.concat(rows)
    shut = evidence["gate"] == 0
    assert shut.any()
    assert (evidence["effect"][shut] == 0).all()
    assert (evidence["effect"][~shut] > 0).any()


def bad(value):
    X = controls(4)
    X[2, 3] = value
    return X


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (controls(4)[:, 1:], "the bundle has 7 genes"),
        (controls(4)[0], "the bundle has 7 genes"),
        (controls(4)[:0], "no cells"),
        (bad(np.nan), "negative or missing"),
        (bad(np.inf), "negative or missing"),
        (bad(-1), "negative or missing"),
        (bad(400), "looks like counts"),
    ],
)
def test_controls_that_do_not_fit_are_said_in_one_line(X, message, predictors):
    with pytest.raises(PtragError, match=message) as caught:
        cells_of(predictors["state"], X, "A")
    assert "\n" not in str(caught.value)


def test_what_else_is_wrong_is_named(predictors):
    with pytest.raises(PtragError, match="'ZZZ': unknown"):
        cells_of(predictors["ptrag"], controls(), "ZZZ")


@pytest.mark.parametrize(
    ("n", "size", "ordered", "expected"),
    [
        (128, 64, True, [range(32)]),
        (128, 64, False, [range(64)]),
        (128, 16, True, [range(16), range(16, 32)]),
        (128, 24, False, [range(24), range(24, 48)]),
        (3, 4, True, [range(4)]),  # the last one fills up the set
    ],
)
def test_evidence_is_of_the_first_cells_and_cuts_a_set_only_where_cells_are_in_order(
    n, size, ordered, expected
):
    numbers = prediction.evidence_cells(n, size, ordered)
    np.testing.assert_array_equal(numbers, np.array([list(cells) for cells in expected]))
