"""The tables of docs/contest.md: ``python benchmarks/arms_table.py results/demo``.

Two tables per split: the mean of each primary metric with its interval, and over how many of the
simple baselines an arm is better; and what arms differ by from their negative controls and from
other models, as ``comparison.tsv`` and ``contrasts.tsv`` have them. A difference is bold where it
is decided: by its interval and by Holm's p.
"""

import argparse
import re
from pathlib import Path

import pandas as pd

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
    heads += ["better than simple arms, by metric"]
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
        rows.append(row)
    return _markdown(heads, rows)


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
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


def contrasts_table(contrasts: pd.DataFrame) -> str:
    """Return the differences from what is no simple baseline, of one split."""
    shown = contrasts[~contrasts["against"].isin(BASELINES) & contrasts["metric"].isin(PRIMARY)]
    rows = []
    for (arm, against), of_contrast in shown.groupby(["arm", "against"], sort=False):
        of_metric, row = of_contrast.set_index("metric"), [f"`{arm}` − `{against}`"]
        for metric in PRIMARY:
            one = of_metric.loc[metric]
            signed = number(one["difference"], places(metric), sign=True)
            low, high = (number(one[key], places(metric)) for key in ("low", "high"))
            text = f"{signed} [{low}, {high}]"
            row.append(text if one["better"] == "neither" else f"**{text}**")
        rows.append(row)
    return _markdown(["difference", *(METRICS[metric].label for metric in PRIMARY)], rows)


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
        of_contrasts = contrasts[contrasts["split"] == split]
        print(split_table(scored, of_contrasts), contrasts_table(of_contrasts), sep="\n\n")


if __name__ == "__main__":
    main()
