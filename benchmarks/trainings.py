"""What trainings cost, whether they reached their plateau, and how the cells of arms vary.

    snakemake --profile profiles/contest
    python benchmarks/trainings.py results/demo

Two tables of a finished results folder, as Markdown. One row per trained run: the step whose
weights are kept, the last step, whether validation is on its plateau, seconds. One row per split
and arm, and one for the real cells: the share of zeros among values, and the largest, second,
third and tenth singular value of the centred cells of a test pair, as many predicted as real ones,
mean over pairs.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import read_h5ad

from ptrag.base.files import read_json, read_table
from ptrag.base.names import PAIR, Pair
from ptrag.cells.store import CellStore
from ptrag.splits.protocols import read_split

SHOWN = (0, 1, 2, 9)  # singular values


def trainings(home: Path) -> pd.DataFrame:
    """Return one row per trained run of a results folder."""
    rows = []
    for path in sorted(home.glob("*/*/seed*/seconds.tsv")):  # of networks alone
        run, last = path.parent, read_table(path).iloc[-1]
        about = read_json(run / "bundle/bundle.json")
        rows.append(
            (run.parent.parent.name, about["arm"], about["seed"], about["step"], int(last["step"]),
             about["plateau"], round(last["seconds"]))
        )  # fmt: skip
    columns = ["split", "arm", "seed", "kept step", "last step", "plateau", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def spreads(home: Path) -> pd.DataFrame:
    """Return one row per split and arm, and one per split for the real cells."""
    store = CellStore(home / "cells.h5ad")
    rows = []
    for split_file in sorted(home.glob("*/split.tsv")):
        pairs = [Pair(*pair) for pair in read_split(split_file).pairs("test")]
        real = {pair: np.asarray(store.cells(*pair)) for pair in pairs}
        name = split_file.parent.name
        rows.append((name, "real cells", *_spread(real, real)))
        for path in sorted(split_file.parent.glob("*/seed*/predictions.h5ad")):
            predicted = dict(_by_pair(path, pairs))
            rows.append((name, path.parent.parent.name, *_spread(predicted, real)))
    values = [f"singular value {i + 1}" for i in SHOWN]
    table = pd.DataFrame(rows, columns=["split", "arm", "zeros", *values])
    return table.groupby(["split", "arm"], sort=False, as_index=False).mean()


def _by_pair(path: Path, pairs: list[Pair]) -> Iterator[tuple[Pair, np.ndarray]]:
    """Yield the predicted cells of the pairs, (n, G)."""
    predictions = read_h5ad(path)
    numbers = predictions.obs.groupby(PAIR, observed=True).indices
    for pair in pairs:
        yield pair, np.asarray(predictions.X[numbers[tuple(pair)]])


def _spread(cells: dict[Pair, np.ndarray], real: dict[Pair, np.ndarray]) -> np.ndarray:
    """Return share of zeros and :data:`SHOWN` singular values, mean over the pairs."""
    rows = []
    for pair, of_pair in cells.items():
        some = of_pair[: len(real[pair])].astype(np.float64)
        values = np.linalg.svd(some - some.mean(axis=0), compute_uv=False)
        rows.append([(of_pair == 0).mean(), *values[list(SHOWN)]])
    return np.mean(rows, axis=0)


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, numbers to three digits."""
    cells = [
        [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]
    lines = [list(table.columns), ["---"] * table.shape[1], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="such as results/demo")
    home = parser.parse_args().results
    print(markdown(trainings(home)), markdown(spreads(home)), sep="\n\n")
