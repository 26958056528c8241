"""A lab's use against every simple baseline: `python benchmarks/own_line.py`.

Simulated screens of four lines; of one line only its controls are given, and ten perturbations are
taken out of all lines (`tests/own_line.py` makes them). Every arm is fitted by `ptrag.fit` on what
is left and predicts ten genes that nobody perturbed and ten that were perturbed in other lines;
each predicted delta is set against the true one. Mean over screens of the mean Pearson delta, and
of the difference to `line_mean` with its standard error over screens.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import ptrag

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from own_line import deltas_and_truth, make_lab, mean_pearson

from ptrag.comparison.contrasts import BASELINES

ARMS = ("response_expert", *BASELINES)


def main() -> None:
    """Print a row per arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options = parser.parse_args()
    values: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            lab = make_lab(Path(folder), seed)
            for arm in ARMS:
                values[arm].append(scores(arm, *lab))
                print(seed, arm, *(f"{value:.3f}" for value in values[arm][-1]), flush=True)
    simple = np.array(values["line_mean"])
    print("| arm | never perturbed anywhere | measured in other lines |\n|---|---|---|")
    for arm, of_arm in values.items():
        table = np.array(of_arm)
        gain = table - simple
        error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else [np.nan] * 2
        cells = [
            f"{table[:, i].mean():.2f} ({gain[:, i].mean():+.2f} ± {error[i]:.2f})"
            for i in range(2)
        ]
        print(f"| `{arm}` | {' | '.join(cells)} |")


def scores(arm, folder, truth, never, elsewhere) -> list[float]:
    """Mean Pearson delta of the two kinds of genes."""
    fitted = ptrag.fit(folder / "screen.h5ad", cell_line="cell_line", arm=arm, min_cells=10)
    asked = [*never, *elsewhere]
    made = fitted.predict(folder / "controls.h5ad", asked, cells=0, allow_fallback=True).profiles
    return [mean_pearson(*deltas_and_truth(made, truth, names)) for names in (never, elsewhere)]


if __name__ == "__main__":
    main()
