"""How near emitted cells come to real ones, and what that does to the scores of arms.

    python benchmarks/emission.py given papalexi datlinger demo semireal_dev --data-dir data
    python benchmarks/emission.py arms demo semireal_dev --data-dir data

``given``: cells of held-out measured pairs, against one half of their real cells. Each emission
gets the true profile: the noise-free one where it is known (``truth``) and the mean of the same
real cells (``cells``), which knows their noise, too. As many cells on both sides. ``auc_linear``
and ``auc_forest`` are areas under the ROC curve of cross-validated classifiers that tell the cells
from the real half, energy and MMD² are in 50 components, ``zeros`` is the mean absolute difference
of the genes' shares of zeros, ``correlation`` the root mean square difference of gene–gene
correlations over genes that a tenth of the cells have, ``effect_left`` the energy less that of the
other real half, relative to that of the controls.

``arms``: closed-form arms on val and test pairs with both emissions; profiles are the same. Scores
are means over several draws of the control cells that a pair starts from: one draw's noise is the
same for all arms and looks like a difference of emissions.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from contest import OURS, fit_arms
from screens import Screen, screens, screens_parser
from sklearn import decomposition
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ptrag.arms.estimate import Estimate, start
from ptrag.base.random import choose, keyed_rng
from ptrag.cells.controls import YARDSTICK
from ptrag.comparison.contrasts import BASELINES
from ptrag.evaluation.predictions import PredictedMean
from ptrag.evaluation.reference import build_reference, read_reference
from ptrag.evaluation.scoring import score_all
from ptrag.evaluation.sides import Case, Reference
from ptrag.metrics.distribution import Distances, energy, median_distance, mmd
from ptrag.metrics.pca import PCA, fit_pca
from ptrag.prediction.prediction import GivenControls
from ptrag.prediction.shift import move_cells

SPLITS = {"demo": ["hepg2", "genes"], "semireal_dev": ["hepg2", "genes"]}  # others: all of them
FEWEST, MOST = 18, 200  # cells of a half
DRAWS, N_CELLS = 2, 64
APART = "energy, other PCA"  # of :func:`apart_from_given`
SHOWN = [
    "energy", "mmd", "w2", "deg_overlap", "deg_precision", "deg_recall", "deg_direction",
    "deg_pr_auc", "deg_count_error",
]  # fmt: skip


def main() -> None:
    """Print a table of means."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["given", "arms"])
    parser.add_argument("--pairs", type=int, default=16, help="of a split, for `given`")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    for name in arguments.datasets:
        signal = 0.8 if "simulate" in config["datasets"].get(name, {}) else None
        for screen in screens(config, name, arguments.seed, signal, arguments.data_dir):
            if screen.split not in SPLITS.get(name, [screen.split]):
                continue
            if arguments.what == "given":
                table = pd.DataFrame(judged(screen, arguments.pairs))
                table = table.groupby(["profile", "emission"], sort=False).mean()
                base = table["energy"].xs("real half", level=1).mean()
                whole = table["energy"].xs("controls", level=1).mean() - base
                table["effect_left"] = (table["energy"] - base) / whole
            else:
                table = scored(screen, config)
            print(f"{screen.case}, {screen.split}\n{table.round(4).to_string()}\n", flush=True)


def judged(screen: Screen, most: int) -> Iterator[dict]:
    """Yield the distances of each emission to a half of the real cells, for some test pairs."""
    store = screen.store
    every = np.asarray(store.X[:: -(-store.n_cells // 4000)])
    pca = fit_pca(every, 50)
    width = median_distance(pca.project(every[:1000]))
    given = {line: GivenControls.of_store(store, line) for line in store.lines}
    enough = [i for i, pair in enumerate(screen.pairs) if len(store.cells(*pair)) >= 2 * FEWEST]
    for i in enough[:: max(1, -(-len(enough) // most))]:
        pair, controls = screen.pairs[i], given[screen.pairs[i].cell_line]
        real = np.asarray(store.cells(*pair))
        real = real[keyed_rng("halves", *pair).permutation(len(real))]
        n = min(len(real) // 2, MOST)
        half, other = real[:n], real[n : 2 * n]
        rows = controls.drawn(pair.perturbation, n)
        yield measured("-", "real half", other, half, pca, width)
        yield measured("-", "controls", controls.cells[rows], half, pca, width)
        deltas = {"cells": real.mean(axis=0, dtype=np.float64) - controls.mean}
        if screen.truth is not None:
            deltas["truth"] = screen.truth[i]
        for profile, delta in deltas.items():
            shifted = move_cells(controls.cells[rows], controls.mover.shift(delta))
            yield measured(profile, "log-shifted", shifted, half, pca, width)
            emitted = controls.emitted(delta, pair.perturbation, rows)
            yield measured(profile, "counts", emitted, half, pca, width)
        emitted = controls.emitter.emit(deltas["cells"], rows, *pair, share=0.7)
        yield measured("cells", "counts, 70 % respond", emitted, half, pca, width)


def measured(profile: str, emission: str, cells, half, pca, width: float) -> dict:
    """Return how far cells are from real ones, (n, G) each."""
    d = Distances.of(pca.project(cells), pca.project(half))
    zeros = np.abs((cells == 0).mean(axis=0) - (half == 0).mean(axis=0)).mean()
    linear, forest = told_apart(cells, half)
    return {
        "profile": profile, "emission": emission, "auc_linear": linear, "auc_forest": forest,
        "energy": energy(d), "mmd": mmd(d, width), "zeros": zeros,
        "zero_share": (cells == 0).mean() - (half == 0).mean(),
        "correlation": correlation_distance(cells, half),
    }  # fmt: skip


def told_apart(cells: np.ndarray, half: np.ndarray) -> tuple[float, float]:
    """Return the areas under the ROC curve of two classifiers, over five folds."""
    X, y = np.concatenate([cells, half]), np.repeat([0, 1], [len(cells), len(half)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    parts = min(30, len(cells) // 4)
    components = decomposition.PCA(parts, random_state=0)
    linear = make_pipeline(components, StandardScaler(), LogisticRegression(C=0.1))
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    scores = [
        cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
        for model in (linear, forest)
    ]
    return roc_auc_score(y, scores[0]), roc_auc_score(y, scores[1])


def correlation_distance(cells: np.ndarray, half: np.ndarray) -> float:
    """Return the root mean square difference of correlations of genes that vary in both."""
    genes = ((half > 0).mean(axis=0) > 0.1) & (cells.std(axis=0) > 0) & (half.std(axis=0) > 0)
    above = np.triu_indices(genes.sum(), 1)
    one, other = (np.corrcoef(sample[:, genes].T)[above] for sample in (cells, half))
    return float(np.sqrt(np.mean((one - other) ** 2)))


def scored(screen: Screen, config: dict) -> pd.DataFrame:
    """Return the mean scores of closed-form arms on val and test pairs, per emission."""
    store = screen.store
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reference.h5")
        build_reference(store, screen.drawn, config["evaluation"], path, floor_cells=None)
        reference = read_reference(path, store, screen.drawn)
    apart = apart_from_given(screen, config["evaluation"]["n_pcs"])
    given = {line: GivenControls.of_store(store, line) for line in reference.lines}
    rows = {("split half", ""): [*np.nanmean(reference.bounds["ceiling"], axis=0), np.nan]}
    for arm, fitted in fit_arms(screen, config["arm_options"], (*BASELINES, OURS)):
        estimates = [fitted(*pair) for pair in reference.keys]
        for emission, emit in EMISSIONS.items():
            if emission == "drawn" and estimates[0].sd is None:
                continue
            draws = [one_draw(reference, apart, given, estimates, emit, i) for i in range(DRAWS)]
            rows[arm, emission] = np.nanmean(draws, axis=(0, 1))
    return pd.DataFrame(rows, index=[*reference.metrics, APART]).T[[APART, *SHOWN]]


def apart_from_given(screen: Screen, n: int) -> PCA:
    """Return a PCA of training cells and yardstick controls.

    The evaluation's own, without the limit of cells that it is fitted on.
    """
    store = screen.store
    blocks = [store.rows(*pair) for pair in screen.drawn.pairs("train")]
    blocks += [store.control_rows(line, YARDSTICK) for line in store.lines]
    return fit_pca(np.concatenate([store.X[rows] for rows in blocks]), n)


def one_draw(
    reference: Reference, apart: PCA, given: Mapping[str, GivenControls],
    estimates: Sequence[Estimate], emit: Callable[..., np.ndarray], draw: int,
) -> np.ndarray:  # fmt: skip
    """Return (pairs, metrics and :data:`APART`) of one draw of control cells."""
    others = np.empty(len(estimates))

    def case(number: int) -> Case:
        pair, estimate = reference.keys[number], estimates[number]
        controls, real = given[pair.cell_line], reference.real(number)
        rows = choose(keyed_rng("rows", draw, *pair), len(controls.cells), N_CELLS)
        origin = start(estimate.origin, controls.mean)
        cells = emit(controls, origin - controls.mean + estimate.delta, estimate, rows, draw, *pair)
        sides = (apart.project(sample) for sample in (cells, reference.store.cells(*pair)))
        others[number] = energy(Distances.of(*sides))
        profile = np.maximum(origin + estimate.delta, 0.0)
        mean, line = PredictedMean(profile, profile - origin), reference.line(number).given
        return Case(reference.side(number, cells, line, mean, real.moments.n), real)

    return np.column_stack([score_all(reference, case), others])


def _shifted(
    controls: GivenControls, delta: np.ndarray, estimate: Estimate, rows: np.ndarray, *key: object
) -> np.ndarray:
    return move_cells(controls.cells[rows], controls.mover.shift(delta))


def _emitted(
    controls: GivenControls, delta: np.ndarray, estimate: Estimate, rows: np.ndarray, *key: object
) -> np.ndarray:
    return controls.emitter.emit(delta, rows, *key)


def _drawn(
    controls: GivenControls, delta: np.ndarray, estimate: Estimate, rows: np.ndarray, *key: object
) -> np.ndarray:
    noise = keyed_rng("posterior", *key).standard_normal(len(delta))
    return controls.emitter.emit(delta + estimate.sd * noise, rows, *key)


EMISSIONS = {"log-shifted": _shifted, "counts": _emitted, "drawn": _drawn}
"""``drawn``: counts moved by one draw from the posterior of the arms that have one."""


if __name__ == "__main__":
    main()
