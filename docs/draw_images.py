"""Draw the two pictures of the README: the idea, and a plot of the demo's report.

    python docs/draw_images.py results/demo

writes docs/images/idea.svg and docs/images/report.svg; the second from ``comparison.tsv``.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from ptrag.base.files import read_table
from ptrag.report.arms import arm_views
from ptrag.report.figure import COLOURS, GRID, INK, MUTED, SETTINGS

HERE = Path(__file__).resolve().parent / "images"
METRIC = "pearson_delta"
TITLES = {"genes": "New genes, perturbed in no line", "hepg2": "Genes known from other lines"}
ALIKE = {(2, 1): COLOURS[2], (2, 3): COLOURS[3]}
"""Retrieved pairs of the line itself, by row and column: alike in text, alike in response."""
LEFT_OUT = ("control", "split_half")


def draw_report(comparison: pd.DataFrame, out: Path) -> None:
    """Draw mean and interval of every arm, a panel per split."""
    rows = comparison[(comparison["metric"] == METRIC) & (comparison["role"] == "test")]
    rows = rows[~rows["arm"].isin(LEFT_OUT)]
    arms = list(dict.fromkeys(rows["arm"]))
    views = arm_views({arm: [0] for arm in arms})
    figure = Figure(figsize=(9.2, 0.22 * len(arms) + 1.0), layout="constrained", facecolor="white")
    panels = figure.subplots(1, rows["split"].nunique(), sharey=True, squeeze=False)[0]
    for axes, (split, of_split) in zip(panels, rows.groupby("split"), strict=True):
        of_split = of_split.set_index("arm").reindex(arms[::-1])
        for y, (arm, row) in enumerate(of_split.iterrows()):
            look = views[arm].look
            axes.plot([row["low"], row["high"]], [y, y], color=look.colour, linewidth=1.8)
            axes.plot(row["mean"], y, marker=look.marker, color=look.colour, markersize=6.5,
                      markerfacecolor="white" if look.hollow else look.colour)  # fmt: skip
        axes.set_yticks(range(len(arms)), arms[::-1])
        axes.set_title(TITLES.get(split, split))
        axes.set_xlabel("correlation of predicted and measured change")
        axes.grid(axis="y", visible=False)
    figure.suptitle(
        "Demo (simulated screen, known truth): mean over test pairs with 95 % interval",
        fontsize=9, color=MUTED,
    )  # fmt: skip
    _save(figure, out)


def draw_idea(out: Path) -> None:
    """Draw what is measured, what is retrieved for a missing pair, and what comes out."""
    figure = Figure(figsize=(9.2, 3.0), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 92), ylim=(0, 30))
    axes.axis("off")
    _matrix(axes)
    _box(axes, 34, 5, 25, 20, "retrieved, weighed by their errors")
    for y, colour, text in (
        (18, COLOURS[1], "the same gene in other lines"),
        (13.5, COLOURS[2], "genes with a similar text"),
        (9, COLOURS[3], "genes with a similar response"),
    ):
        axes.add_patch(Rectangle((35.5, y - 0.9), 1.8, 1.8, color=colour))
        axes.text(38.5, y, text, va="center", fontsize=9)
    _box(axes, 66, 5, 24, 20, "predicted for the missing pair")
    height = np.array([2.4, -1.6, 1.0, -2.2, 0.4, 1.7])
    for i, value in enumerate(height):
        x = 69.5 + 3.4 * i
        axes.add_patch(Rectangle((x, 14.5), 1.6, value, color=COLOURS[0 if value > 0 else 1]))
        axes.plot([x + 0.8] * 2, [14.5 + value - 1, 14.5 + value + 1], color=INK, linewidth=1)
    axes.plot([68.5, 89], [14.5, 14.5], color=MUTED, linewidth=0.8)
    axes.text(78, 8.2, "change of every gene, with interval,\nand what each neighbour did to it",
              ha="center", va="center", fontsize=8.5, color=MUTED)  # fmt: skip
    for start, end in ((28, 33.4), (59.6, 65.4)):
        axes.add_patch(
            FancyArrowPatch((start, 15), (end, 15), arrowstyle="-|>", mutation_scale=14, color=INK)
        )
    _save(figure, out)


def _matrix(axes: Axes) -> None:
    """Draw genes × lines: measured pairs filled, the missing one with a question mark."""
    lines, n = ("K562", "RPE1", "HepG2", "Jurkat"), 8
    rng = np.random.default_rng(4)
    for row, line in enumerate(lines):
        y = 20 - 4.5 * row
        axes.text(6.6, y + 1.6, line, ha="right", va="center", fontsize=8.5)
        for column in range(n):
            x, missing = 7.5 + 2.5 * column, row == 2 and column > 3
            asked = row == 2 and column == 5
            shade = "white" if missing else str(0.55 + 0.35 * rng.random())
            colour = COLOURS[1] if column == 5 and row != 2 else ALIKE.get((row, column))
            axes.add_patch(
                Rectangle((x, y), 2.2, 3.2, facecolor=colour or shade,
                          edgecolor=COLOURS[0] if asked else GRID, linewidth=2 if asked else 0.8)
            )  # fmt: skip
            if asked:
                axes.text(x + 1.1, y + 1.6, "?", ha="center", va="center", fontsize=11,
                          color=COLOURS[0], fontweight="bold")  # fmt: skip
    axes.text(17.5, 26, "measured pairs of gene and line", ha="center", fontsize=9.5,
              fontweight="bold")  # fmt: skip
    axes.text(17.5, 3.3, "perturbed genes", ha="center", fontsize=8.5, color=MUTED)


def _box(axes: Axes, x: float, y: float, width: float, height: float, title: str) -> None:
    axes.add_patch(Rectangle((x, y), width, height, facecolor="none", edgecolor=GRID, linewidth=1))
    axes.text(x + width / 2, y + height + 1, title, ha="center", fontsize=9.5, fontweight="bold")


def _save(figure: Figure, out: Path) -> None:
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, metadata=nothing)
    text = out.read_text(encoding="utf-8")
    out.write_text("\n".join(line.rstrip() for line in text.split("\n")), encoding="utf-8")


def main(home: Path) -> None:
    """Draw both pictures."""
    with rc_context(SETTINGS | {"font.family": "sans-serif"}):
        draw_idea(HERE / "idea.svg")
        draw_report(read_table(home / "comparison.tsv"), HERE / "report.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo"))
