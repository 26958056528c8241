"""What scores must be where it is known, through the scoring code itself, from cells to table.

A screen of many lines is many independent draws of controls and of cells: the noise has a known
variance, so that the expected score of a prediction has a closed form.
"""

import numpy as np
import pandas as pd
import pytest
from scoring_cases import SETTINGS, write_predictions
from stores import write_store

from ptrag.base.files import read_table
from ptrag.cells.controls import ALL, GIVEN, YARDSTICK
from ptrag.cells.store import CellStore
from ptrag.evaluation.evaluate import evaluate
from ptrag.evaluation.reference import build_reference
from ptrag.splits.protocols import Split

LINES, PER_LINE, G = 200, 2, 400
N_CELLS, N_CONTROLS = 20, 40
SIGMA, EFFECT = 0.4, 0.1
NOISE = SIGMA**2 * (1 / N_CELLS + 1 / (N_CONTROLS / 2))  # of an observed delta, per gene


def make_screen(path, bases, deltas, n_controls):
    """Write cells base + delta + noise; ``bases`` {line: (G,)}, ``deltas`` {(line, name): (G,)}."""
    rng = np.random.default_rng(0)
    blocks, labels = [], []
    controls = {(line, "control"): np.zeros(G) for line in bases}
    for (line, name), delta in (controls | deltas).items():
        n = n_controls if name == "control" else N_CELLS
        blocks.append(bases[line] + delta + SIGMA * rng.normal(size=(n, G)))
        labels += [(line, name)] * n
    obs = pd.DataFrame(labels, columns=["cell_line", "perturbation"])
    cells = np.concatenate(blocks).astype(np.float32)
    write_store(path, cells, obs, [f"G{i}" for i in range(G)])
    return CellStore(path)


def make_split(store, roles):
    table = pd.DataFrame([(*pair, N_CELLS, role, "") for pair, role in roles.items()])
    table.columns = ["cell_line", "perturbation", "n_cells", "role", "reason"]
    return Split(table, "unseen_perturbation", None)


class Screen:
    """Store, split and reference, and the truth of every pair."""

    def __init__(self, folder, deltas, roles, n_controls=N_CONTROLS):
        self.folder, self.deltas = folder, deltas
        rng = np.random.default_rng(5)
        self.bases = {line: rng.uniform(4, 6, G) for line, _ in deltas}  # no cell comes near 0
        self.store = make_screen(folder / "cells.h5ad", self.bases, deltas, n_controls)
        self.split = make_split(self.store, roles)
        build_reference(
            self.store, self.split, SETTINGS, folder / "reference.h5", floor_cells=None,
            ceilings=False,
        )  # fmt: skip
        self.given = {line: self.store.control_mean(line, GIVEN) for line in self.bases}

    def score(self, predict, n_cells=N_CELLS):
        """Return a table pairs × metrics of ``predict(line, name, controls)``."""
        written = write_predictions(
            self.folder / "p", self.store, self.split, predict, n_cells=n_cells
        )
        out = self.folder / "m.tsv"
        reference = self.folder / "reference.h5"
        evaluate(self.store, self.split, reference, *written, SETTINGS, out)
        pairs = ["cell_line", "perturbation"]
        return read_table(out).pivot(index=pairs, columns="metric", values="value")

    def score_deltas(self, predicted):
        """Score predicted deltas {pair: (G,)}, added to the given mean and to given controls."""

        def predict(line, name, controls):
            return self.given[line] + predicted[line, name], controls + predicted[line, name]

        return self.score(predict)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """Perturbations that move all genes but not their own name's: none has a target here."""
    rng = np.random.default_rng(1)
    pairs = [(f"line{i:03}", f"P{j}") for i in range(LINES) for j in range(PER_LINE)]
    deltas = {pair: EFFECT * rng.normal(size=G) for pair in pairs}
    return Screen(tmp_path_factory.mktemp("many"), deltas, dict.fromkeys(pairs, "test"))


def test_no_change_is_no_information(screen):
    table = screen.score(lambda line, name, controls: (screen.given[line], controls))
    for name in ("pearson_delta", "spearman_delta"):
        assert (table[name] == 0).all()
    for name in ("pds_cosine", "pds_l1", "pds_l2", "centroid_accuracy"):
        assert table[name].mean() == pytest.approx(0.5)


def test_an_independent_delta_is_no_information(screen):
    rng = np.random.default_rng(2)
    table = screen.score_deltas({pair: EFFECT * rng.normal(size=G) for pair in screen.deltas})
    for name in ("pearson_delta", "spearman_delta"):
        assert abs(table[name].mean()) <= 0.01
    for name in ("pds_cosine", "pds_l1", "pds_l2", "centroid_accuracy"):
        assert table[name].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(table)))


def attenuated(predicted, delta):
    """Expected correlation of a fixed prediction with delta + noise of known variance."""
    x, y = predicted - predicted.mean(), delta - delta.mean()
    return x @ y / np.sqrt((x @ x) * (y @ y + G * NOISE))


def test_a_delta_that_is_independent_of_controls_is_not_inflated(screen):
    """Half of the truth plus an error of the same size; with one control mean it would be."""
    rng = np.random.default_rng(3)
    predicted = {
        pair: 0.5 * delta + 0.5 * EFFECT * rng.normal(size=G)
        for pair, delta in screen.deltas.items()
    }
    table = screen.score_deltas(predicted)
    expected = np.array([attenuated(predicted[pair], screen.deltas[pair]) for pair in table.index])
    assert abs((table["pearson_delta"] - expected).mean()) <= 0.01

    store, shared = screen.store, []
    for line, name in table.index:  # measured from the mean of all controls on both sides
        control = store.control_mean(line, ALL)
        profile = screen.given[line] + predicted[line, name]
        shared.append(np.corrcoef(profile - control, store.mean(line, name) - control)[0, 1])
    assert abs((shared - expected).mean()) > 0.03


def test_the_truth_scores_less_against_cells_by_attenuation_alone(screen):
    table = screen.score_deltas(screen.deltas)
    variance = np.mean([delta.var() for delta in screen.deltas.values()])
    assert table["pearson_delta"].mean() == pytest.approx(
        1 / np.sqrt(1 + NOISE / variance), abs=0.01
    )


def test_the_unbiased_distances_of_a_right_sample_are_centred_at_zero(screen):
    """Fresh cells of the right distribution; moved to an exact mean they are no sample."""
    rng = np.random.default_rng(4)

    def fresh(line, name, exact):
        noise = SIGMA * rng.normal(size=(N_CELLS, G))
        return screen.bases[line] + screen.deltas[line, name] + noise - exact * noise.mean(axis=0)

    right, moved = (
        screen.score(lambda line, name, _, exact=exact: fresh(line, name, exact))
        for exact in (False, True)
    )
    for name in ("energy", "mmd"):
        error = right[name].std() / np.sqrt(len(right))
        assert abs(right[name].mean()) < 3 * error
        assert moved[name].mean() < -5 * error


N_PANEL, N_TRAINED = 60, 20


@pytest.fixture(scope="module")
def knock_downs(tmp_path_factory):
    """A line in which a perturbation does nothing but knock its own gene down."""
    names = [f"G{i}" for i in range(N_PANEL + N_TRAINED)]
    deltas = {("a", name): -3.0 * (np.arange(G) == i) for i, name in enumerate(names)}
    roles = ["val"] * 20 + ["test"] * (N_PANEL - 20) + ["train"] * N_TRAINED
    folder = tmp_path_factory.mktemp("panel")
    return Screen(folder, deltas, dict(zip(deltas, roles, strict=True)), n_controls=200)


def one_for_all(knock_downs):
    effect = EFFECT * np.random.default_rng(6).normal(size=G)
    return dict.fromkeys(knock_downs.deltas, effect)


@pytest.mark.parametrize(
    "predicted",
    [
        lambda screen: dict.fromkeys(screen.deltas, np.zeros(G)),
        one_for_all,
        lambda screen: screen.deltas,
        lambda screen: {pair: 0.3 * delta for pair, delta in screen.deltas.items()},
    ],
    ids=["no change", "one profile for all", "the own knock-down", "a weak knock-down"],
)
def test_knowing_the_target_alone_does_not_discriminate(knock_downs, predicted):
    table = knock_downs.score_deltas(predicted(knock_downs))
    assert len(table) == N_PANEL
    for name in ("pds_cosine", "pds_l1", "pds_l2"):
        assert table[name].mean() == pytest.approx(0.5)
    # ranks of 60 among 80 alternatives: exact on average over the choice of these 60
    assert table["centroid_accuracy"].mean() == pytest.approx(0.5, abs=0.08)


def test_with_the_panel_left_in_the_target_would_be_all_there_is(knock_downs):
    """The planted fault: only the own target left out, no change is far from all others."""
    store, wins = knock_downs.store, []
    control = store.control_mean("a", YARDSTICK)
    deltas = {name: store.mean("a", name) - control for _, name in knock_downs.deltas}
    for i, name in enumerate(deltas):
        length = {other: np.linalg.norm(np.delete(d, i)) for other, d in deltas.items()}
        wins.append(np.mean([length[other] > length[name] for other in deltas if other != name]))
    assert np.mean(wins) > 0.9
