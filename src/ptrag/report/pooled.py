"""The table that comes first where each split holds out another line: all of them as one."""

import pandas as pd

from ptrag.comparison.pooled import ALL_LINES
from ptrag.report.gather import Results
from ptrag.report.numbers import interval
from ptrag.report.tables import Cell, Table, heads, number_cell, places_of
from ptrag.report.verdict import shown_metrics


def pooled_rows(results: Results) -> pd.DataFrame:
    """Return the rows of ``comparison.tsv`` over the scored pairs of all lines; none without."""
    roles = {split.role for split in results.splits.values()}
    rows = results.comparison
    role = "test" if "test" in roles else "val"
    return rows[(rows["split"] == ALL_LINES) & (rows["role"] == role)]


def pooled_table(results: Results) -> Table | None:
    """Arms × metrics: mean over the pairs of all target lines, with interval; None without."""
    rows = pooled_rows(results)
    if rows.empty:
        return None
    metrics = [name for name in shown_metrics(results) if (rows["metric"] == name).any()]
    by_name = rows.set_index(["arm", "metric"])
    places = {metric: places_of(by_name["mean"], metric) for metric in metrics}
    table = Table(
        caption=f"All target lines together: mean over {counted_pairs(rows)} "
        f"{rows['role'].iloc[0]} pairs, with interval",
        columns=[("Arm", ""), *heads(metrics)],
    )
    known = by_name.to_dict("index")
    for arm, view in results.arms.items():
        cells = []
        for metric in metrics:
            row = known.get((arm, metric))
            if row is None:
                cells.append(Cell("–", mark="n"))
                continue
            low_high = interval(row["low"], row["high"], places[metric])
            mark = "" if row["trusted"] else "untrusted"
            cells.append(number_cell(row["mean"], places[metric], small=low_high, mark=mark))
        table.rows.append([Cell(arm, view.kind, value=arm), *cells])
    return table


def counted_pairs(rows: pd.DataFrame) -> str:
    """Return how many pairs were scored: of the metric with most, and with fewest if others."""
    fewest, most = int(rows["n_pairs"].min()), int(rows["n_pairs"].max())
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
