"""The tables of docs/contest.md: ``python benchmarks/arms_table.py results/demo``.

One table per split: the mean of each primary metric with its interval, over how many of the simple
baselines an arm is better, and the difference from its negative controls, as ``comparison.tsv`` and
``contrasts.tsv`` have them.
"""

import argparse
import re
from pathlib import Path

import pandas as pd

from ptrag.arms.registry import negative_control
from ptrag.base.files import read_table
from ptrag.comparison.contrasts import BASELINES, kind_of
from ptrag.metrics.registry import METRICS
from ptrag.report import numbers

PRIMARY = ("pearson_delta", "mse", "pds_cosine", "energy")


def number(value: float, places: int, sign: bool = False) -> str:
    """Return a number as the report has it, without a zero before the point."""
    return re.sub(r"^([+−]?)0\.", r"\1.", numbers.number(value, places, sign))


def places(metric: str) -> int:
    """Return how many decimals a metric is shown with."""
    return 4 if metric == "mse" else 3


def split_table(comparison: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Return the table of one split."""
    wide = comparison.set_index(["arm", "metric"])
    heads, rows = ["arm"], []
    for metric in PRIMARY:
        trusted = comparison.loc[comparison["metric"] == metric, "trusted"].any()
        heads.append(METRICS[metric].label + ("" if trusted else " (not trusted)"))
    heads += ["better than simple arms, by metric", "− own negative controls (Pearson Δ)"]
    for arm in dict.fromkeys(comparison["arm"]):
        row = [f"`{arm}`"]
        for metric in PRIMARY:
            value = wide.loc[(arm, metric)]
            mean, low, high = (
                number(value[key], places(metric)) for key in ("mean", "low", "high")
            )
            row.append(f"{mean} [{low}, {high}]")
        own = contrasts[contrasts["arm"] == arm]
        row.append(_over_baselines(own) if kind_of(arm) == "model" else "")
        row.append(_over_controls(own))
        rows.append(row)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _over_baselines(contrasts: pd.DataFrame) -> str:
    """Return, for each primary metric, over how many baselines an arm is better."""
    parts = []
    for metric in PRIMARY:
        rows = contrasts[(contrasts["metric"] == metric) & contrasts["against"].isin(BASELINES)]
        better = int((rows["better"] == "arm").sum())
        worse = int((rows["better"] == "against").sum())
        parts.append(f"{better}/{len(rows)}" + (f" (worse {worse})" if worse else ""))
    return ", ".join(parts)


def _over_controls(contrasts: pd.DataFrame) -> str:
    """Return the difference from each of an arm's own negative controls."""
    parts = []
    for row in contrasts[contrasts["metric"] == PRIMARY[0]].itertuples():
        if kind_of(row.against) == "negative control":
            interval = f"[{number(row.low, 3)}, {number(row.high, 3)}]"
            signed = number(row.difference, 3, sign=True)
            parts.append(f"{negative_control(row.against)} {signed} {interval}")
    return ", ".join(parts)


def main() -> None:
    """Print the tables of a folder of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results/{dataset}")
    folder = parser.parse_args().results
    comparison = read_table(folder / "comparison.tsv")
    contrasts = read_table(folder / "contrasts.tsv")
    for split in dict.fromkeys(comparison["split"]):
        of_split = comparison[comparison["split"] == split]
        role = "test" if (of_split["role"] == "test").any() else "val"
        scored = of_split[of_split["role"] == role]
        n_pairs = int(scored["n_pairs"].max())
        print(f"\n**`{split}`** ({n_pairs} {role} pairs)\n")
        print(split_table(scored, contrasts[contrasts["split"] == split]))


if __name__ == "__main__":
    main()
