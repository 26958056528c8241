"""Half of a pair's cells, denoised, predicts the other half better than the raw half does.

    python benchmarks/denoise.py demo semireal_dev papalexi --data-dir data --seeds 1 2

The cells of every training pair are dealt into two halves. The expert is fitted on the first halves
and denoises them (:mod:`ptrag.arms.expert.denoise`); the second halves, less the *yardstick*
controls, are what both are held against. Printed are the mean correlation of deltas and the mean
squared error of profiles, and by how much the denoised half is ahead, with intervals that are
clustered by perturbation.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from screens import Screen, screens, screens_parser

from ptrag.arms.expert.denoise import denoised
from ptrag.arms.registry import load_arm
from ptrag.base.correlation import pearson
from ptrag.base.moments import moments
from ptrag.base.names import N_CELLS
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import YARDSTICK
from ptrag.comparison.statistics import paired_comparison

MOST = 200  # pairs of a screen that are denoised, evenly chosen


def main() -> None:
    """Print one row per data set and split."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    tables = []
    for name in arguments.datasets:
        signal = 0.8 if "simulate" in config["datasets"].get(name, {}) else None
        for seed in arguments.seeds:
            for screen in screens(config, name, seed, signal, arguments.data_dir):
                tables.append(halves(screen, config["arm_options"]["response_expert"]))
    print(summary(pd.concat(tables), config["evaluation"]).to_string(index=False))


def halves(screen: Screen, options: dict) -> pd.DataFrame:
    """Return the scores of the raw and of the denoised half of every training pair."""
    store, responses = screen.store, screen.responses
    deltas, errors, sizes, others = [], [], [], []
    for line, name in responses.pairs:
        cells = store.cells(line, name)
        order = keyed_rng("halves of cells", screen.seed, line, name).permutation(len(cells))
        first, second = (cells[np.sort(part)] for part in np.array_split(order, 2))
        part, se = moments(first), responses.control_se[line]
        deltas.append(part.mean - responses.control_mean[line])
        errors.append(np.sqrt(part.variance / part.n + se**2))
        sizes.append(part.n)
        others.append(second.mean(axis=0, dtype=np.float64))
    entries = responses.entries.assign(**{N_CELLS: sizes})
    half = replace(responses, entries=entries, delta=np.array(deltas), se=np.array(errors))
    fitted = load_arm("response_expert").fit(half, *screen.read_by("response_expert"), options)
    chosen = np.arange(0, len(sizes), -(-len(sizes) // MOST))
    clean = denoised(fitted, chosen)
    rows = []
    for at, row in enumerate(chosen):
        line, name = responses.pairs[row]
        given, yardstick = responses.control_mean[line], store.control_mean(line, YARDSTICK)
        observed = others[row] - yardstick
        origin = given + fitted(line, name).origin.error
        rows.append((
            name, pearson(half.delta[row], observed), pearson(clean.delta[at], observed),
            ((given + half.delta[row] - others[row]) ** 2).mean(),
            ((origin + clean.delta[at] - others[row]) ** 2).mean(),
        ))  # fmt: skip
    columns = ["perturbation", "raw r", "denoised r", "raw mse", "denoised mse"]
    return pd.DataFrame(rows, columns=columns).assign(
        case=screen.case, split=screen.split, seed=screen.seed
    )


def summary(scores: pd.DataFrame, evaluation: dict) -> pd.DataFrame:
    """Return means, and how far the denoised half is ahead."""
    rows = []
    for (case, split), of_case in scores.groupby(["case", "split"], sort=False):
        row = {"case": case, "split": split, "pairs": len(of_case)}
        for metric, sign in (("r", 1), ("mse", -1)):
            raw, clean = of_case[f"raw {metric}"], of_case[f"denoised {metric}"]
            gain = paired_comparison(
                sign * clean.to_numpy(), sign * raw.to_numpy(), list(of_case["perturbation"]),
                evaluation["bootstrap"], evaluation["confidence"],
            )  # fmt: skip
            row |= {f"raw {metric}": raw.mean(), f"denoised {metric}": clean.mean()}
            row[f"{metric} ahead"] = f"{gain.difference:.4f} [{gain.low:.4f}, {gain.high:.4f}]"
        rows.append(row)
    return pd.DataFrame(rows).round(4)


if __name__ == "__main__":
    main()
