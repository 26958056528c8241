"""The contest of the closed-form arms: many small screens, every simple baseline, controls.

    python benchmarks/contest.py demo network --text-signal 0 0.4 0.8 1 --seeds 1 2 3
    python benchmarks/contest.py semireal_dev op3_drugs_ranks --data-dir data --seeds 1 2
    python benchmarks/contest.py norman_mcfaline papalexi datlinger --seeds 1 2 3 4 5 6

Every seed is a new draw: of a simulated data set the whole screen, of the others the split;
intervals are clustered by perturbation, which in real and semi-real draws come again. Predictions
are scored on the test pairs as the workflow has them: deltas against the profile of the pair's
cells less the yardstick controls (the perturbed gene left out, of PDS by cosine all genes of the
panel), and against the noise-free delta where it is known; profiles against those of the cells
(MSE); and cells against cells in a PCA of training cells and yardstick controls (energy distance).

One row of the table per pair and arm. Printed are each arm's means; how far ``response_expert`` is
ahead of the simple baseline that comes nearest, chosen in hindsight, and of its negative controls;
and how often the sign that it predicts is wrong, at nominal false-sign rates.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from paired import CASE, METRICS, paired_differences
from screens import PROTOCOLS, Screen, screens, screens_parser

from ptrag.arms.estimate import start
from ptrag.arms.registry import EMBEDDING_CONTROLS, PERMUTED, base_name, load_arm
from ptrag.base.correlation import pearson
from ptrag.base.discrimination import discrimination
from ptrag.base.files import write_table
from ptrag.base.names import PAIR
from ptrag.cells.controls import YARDSTICK
from ptrag.comparison.contrasts import BASELINES
from ptrag.metrics.distribution import Distances, energy
from ptrag.metrics.means import mse
from ptrag.metrics.pca import PCA, fit_pca
from ptrag.prediction.closed_form import ClosedFormPredictor
from ptrag.prediction.prediction import GivenControls, Predictor

OURS = "response_expert"
CONTROLS = tuple(f"{OURS}@{kind}" for kind in (*EMBEDDING_CONTROLS, PERMUTED))
N_CELLS = 64  # predicted of each pair
RATES = (0.01, 0.05, 0.1)


def main() -> None:
    """Run the contest and print its summary."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--text-signal", nargs="+", type=float, default=[0.8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--splits", nargs="+", help="these alone; all without")
    parser.add_argument("--out", default="results/contest.tsv")
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    tables, signs = [], []
    for name in arguments.datasets:
        simulated = "simulate" in config["datasets"].get(name, {})
        for signal in arguments.text_signal if simulated else [None]:
            for seed in arguments.seeds:
                draw = screens(config, name, seed, signal, arguments.data_dir, PROTOCOLS.get(name))
                for screen in draw:
                    if arguments.splits and screen.split not in arguments.splits:
                        continue
                    arms = (*BASELINES, OURS, *CONTROLS)
                    predictors = dict(fit_arms(screen, config["arm_options"], arms))
                    pca = components(screen, config["evaluation"]["n_pcs"])
                    predicted = {arm: fits(screen, f, pca) for arm, f in predictors.items()}
                    tables.append(score(screen, predicted))
                    signs.append(signs_of(screen, predictors[OURS]))
    scores = pd.concat(tables, ignore_index=True)
    write_table(scores, arguments.out)
    for table in (
        means(scores), nearest_baselines(scores, OURS, config["evaluation"]),
        against_controls(scores, config["evaluation"]), false_signs(pd.concat(signs)),
    ):  # fmt: skip
        print(table.to_string(index=False), end="\n\n")


def fit_arms(screen: Screen, options: dict, arms: Sequence[str]) -> Iterator[tuple[str, Callable]]:
    """Yield arms fitted on the training responses of a screen, and the oracle."""
    oracle = ("oracle",) if screen.truth_file else ()
    for arm in (*arms, *oracle):
        own = options[base_name(arm)] | {"truth": screen.truth_file}
        yield arm, load_arm(arm).fit(screen.responses, *screen.read_by(arm), own)


class Predicted(NamedTuple):
    """What an arm predicts of the n test pairs.

    Attributes
    ----------
    delta, profile
        (n, G).
    energy
        (n,) energy distance of its cells from the real ones, NaN without cells.
    """

    delta: np.ndarray
    profile: np.ndarray
    energy: np.ndarray


def fits(screen: Screen, fitted: Callable, pca: PCA | None) -> Predicted:
    """Predict the test pairs of a screen by a closed form."""
    if screen.store is not None:
        return predictions(screen, ClosedFormPredictor({screen.split: fitted}), pca)
    delta = np.array([fitted(*pair).delta for pair in screen.pairs])
    given = [screen.responses.control_mean[pair.cell_line] for pair in screen.pairs]
    origins = [start(fitted(*p).origin, g) for p, g in zip(screen.pairs, given, strict=True)]
    # scores, which may be negative, and no expression
    return Predicted(delta, delta + origins, np.full(len(delta), np.nan))


def predictions(screen: Screen, predictor: Predictor, pca: PCA) -> Predicted:
    """Predict the test pairs of a screen that has cells."""
    store = screen.store
    given = {line: GivenControls.of_store(store, line) for line in store.lines}
    rows = []
    for pair in screen.pairs:
        real = store.cells(*pair)
        one = predictor.predict(given[pair.cell_line], pair.perturbation, N_CELLS)
        far = energy(Distances.of(pca.project(one.cells), pca.project(real)))
        rows.append((one.delta, one.profile, far))
    return Predicted(*map(np.array, zip(*rows, strict=True)))


def components(screen: Screen, n_pcs: int) -> PCA | None:
    """Return the PCA of training cells and yardstick controls; None without cells."""
    store = screen.store
    if store is None:
        return None
    cells = [store.cells(*pair) for pair in screen.drawn.pairs("train")]
    cells += [store.controls(line, YARDSTICK) for line in store.lines]
    return fit_pca(np.concatenate(cells), n_pcs)


def score(screen: Screen, of_arms: dict[str, Predicted]) -> pd.DataFrame:
    """Return one row per arm and test pair."""
    responses, rows = screen.responses, []
    targets = [responses.columns(pair.perturbation) for pair in screen.pairs]
    panel = np.setdiff1d(np.arange(len(responses.genes)), np.concatenate(targets))
    lines = np.array([pair.cell_line for pair in screen.pairs])
    for arm, predicted in of_arms.items():
        pds = np.empty(len(lines))
        for line in np.unique(lines):
            here = np.flatnonzero(lines == line)
            vectors = (values[np.ix_(here, panel)] for values in (predicted.delta, screen.observed))
            pds[here] = discrimination(*vectors, np.arange(len(here)), "cosine")
        for i, pair in enumerate(screen.pairs):
            delta, observed = (
                np.delete(values[i], targets[i]) for values in (predicted.delta, screen.observed)
            )
            true = (np.nan, np.nan)
            if screen.truth is not None:
                truth = np.delete(screen.truth[i], targets[i])
                true = pearson(delta, truth), mse(delta, truth)
            values = (
                pearson(delta, observed), mse(predicted.profile[i], screen.profiles[i]),
                pds[i], predicted.energy[i],
            )  # fmt: skip
            rows.append((arm, *pair, *values, *true))
    columns = ["arm", *PAIR, *METRICS]
    drawn_anew = screen.truth_file is not None
    return pd.DataFrame(rows, columns=columns).assign(
        case=screen.case, split=screen.split, seed=screen.seed, drawn_anew=drawn_anew
    )


def signs_of(screen: Screen, predict: Callable) -> pd.DataFrame:
    """Return, for each nominal rate, predicted signs that reach it and wrong ones among them."""
    if screen.truth is None:
        return pd.DataFrame(columns=[*CASE, "rate", "signs", "wrong"])
    rows = []
    for pair, truth in zip(screen.pairs, screen.truth, strict=True):
        estimate = predict(*pair)
        wrong = np.sign(truth) != np.sign(estimate.delta)
        for nominal in RATES:
            sure = estimate.wrong_sign <= nominal
            rows.append((screen.case, screen.split, nominal, sure.sum(), (sure & wrong).sum()))
    return pd.DataFrame(rows, columns=[*CASE, "rate", "signs", "wrong"])


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each arm's mean scores."""
    table = scores.groupby([*CASE, "arm"], sort=False)[list(METRICS)].mean()
    return table.round(4).reset_index()


def nearest_baselines(scores: pd.DataFrame, arm: str, evaluation: dict) -> pd.DataFrame:
    """Return an arm's lead over the simple baseline that comes nearest: over each it is no less."""
    table = paired_differences(scores, [(arm, other) for other in BASELINES], evaluation)
    nearest = table.groupby([*CASE, "metric"], sort=False)["ahead"].idxmin()
    return table.loc[nearest]


def against_controls(scores: pd.DataFrame, evaluation: dict) -> pd.DataFrame:
    """Return the lead over the negative controls, in Pearson delta."""
    table = paired_differences(scores, [(OURS, other) for other in CONTROLS], evaluation)
    return table[table["metric"] == "pearson"]


def false_signs(signs: pd.DataFrame) -> pd.DataFrame:
    """Return the realised rates of wrong signs beside the nominal ones."""
    table = signs.groupby([*CASE, "rate"], sort=False)[["signs", "wrong"]].sum().reset_index()
    share = table["wrong"] / table["signs"].clip(lower=1)
    return table.assign(realised=share.astype(float).round(4))


if __name__ == "__main__":
    main()
