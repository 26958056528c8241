"""The report's figures: each function draws one panel and returns inline SVG.

Panels are small and separate, so that the page can flow them into as many
columns as the screen has. A figure is a list of panels that share their axes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ptrag.base.names import CELL_LINE
from ptrag.report.arms import ArmView
from ptrag.report.figure import INK, MUTED, PAPER, TOP, panel, text_width, to_svg

WIDTH, HEIGHT = 2.56, 2.4  # inches of a small panel
TITLE_SIZE = 9.5
MANY = 200  # points of one panel from which on they are small, and an image instead of shapes
KEPT = "kept step"
DIVERGING = "PuOr_r"
LINES = {"bar": (0, (4, 2)), "floor": (0, (1, 2)), "ceiling": (0, (6, 2, 1, 2))}


def interval_plot(rows: pd.DataFrame, arms: dict[str, ArmView], name: str, alt: str, **words):
    """Draw mean and interval per arm.

    Parameters
    ----------
    rows
        arm, mean, low, high; drawn from top to bottom.
    arms
        Views of the arms.
    name, alt
        Id prefix, and alternative text.
    words
        ``title``; ``xlabel``; ``bar``, ``floor``, ``ceiling``: values drawn as lines;
        ``zero``: draw a line at zero; ``width`` of the axes, in inches.
    """
    width = words.get("width", 1.55)
    labels = rows["label"] if "label" in rows else rows["arm"]
    title = words.get("title", "")
    left = max(0.12 + max(map(text_width, labels)), text_width(title, TITLE_SIZE) - width)
    bottom = 0.46 if words.get("xlabel") else 0.28
    figure, axes = panel(left + width, bottom + 0.3 + 0.21 * len(rows), left, bottom)
    at = np.arange(len(rows))[::-1]
    for key, dashes in LINES.items():
        if words.get(key) is not None and np.isfinite(words[key]):
            axes.axvline(words[key], color=MUTED, linewidth=1, linestyle=dashes)
    if words.get("zero"):
        axes.axvline(0, color=INK, linewidth=0.9)
    for y, row in zip(at, rows.itertuples(), strict=True):
        look = arms[row.arm].look
        axes.plot([row.low, row.high], [y, y], color=look.colour, linewidth=1.6)
        axes.plot(
            row.mean, y, marker=look.marker, color=look.colour, markersize=6,
            markerfacecolor=look.face, linestyle="none", markeredgewidth=1.2,
        )  # fmt: skip
    axes.set_yticks(at, labels, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(round(2 * width)))
    axes.margins(x=0.06)
    axes.spines["left"].set_visible(False)
    _title(axes, title, xycoords=("figure fraction", "axes fraction"))  # above the labels, too
    axes.set_xlabel(words.get("xlabel", ""))
    return to_svg(figure, alt, name)


def paired_scatter(
    wide: pd.DataFrame, arm: ArmView, against: ArmView, limits: tuple[float, float], name: str,
    label: str, higher: bool,
) -> Markup:  # fmt: skip
    """Draw one point per pair: the baseline's value (x), the arm's (y), the diagonal."""
    both = wide[[against.name, arm.name]].dropna()
    x, y = both[against.name].to_numpy(), both[arm.name].to_numpy()
    better = int(((y > x) if higher else (y < x)).sum())
    figure, axes = panel(WIDTH, HEIGHT)
    axes.plot(limits, limits, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.scatter(
        x, y, s=20 if len(x) < MANY else 9, marker=arm.look.marker, facecolors=arm.look.face,
        edgecolors=arm.look.colour if arm.look.hollow else PAPER, linewidths=0.7, alpha=0.85,
        rasterized=len(x) >= MANY,
    )  # fmt: skip
    axes.set(xlim=limits, ylim=limits, xlabel=against.name, ylabel=arm.name)
    _title(axes, f"better on {better} of {len(x)}", weight="normal")
    _few_ticks(axes)
    alt = (
        f"{label} per pair: {arm.name} against {against.name}; {arm.name} is better on "
        f"{better} of {len(x)} pairs"
    )
    return to_svg(figure, alt, name)


def difference_strips(
    differences: pd.DataFrame, arms: dict[str, ArmView], name: str, against: str, label: str
) -> Markup:
    """Draw one dot per pair and arm: its value minus that of the best baseline, and the mean.

    Parameters
    ----------
    differences
        Pairs × arms, drawn from top to bottom.
    arms
        Views of the arms.
    name, against, label
        Id prefix, the baseline, and the metric.
    """
    left = 0.12 + max(map(text_width, differences.columns))
    figure, axes = panel(left + 3.4, 0.5 + 0.3 + 0.24 * differences.shape[1], left, 0.46)
    axes.axvline(0, color=INK, linewidth=0.9)
    at = np.arange(differences.shape[1])[::-1]
    for y, arm in zip(at, differences.columns, strict=True):
        values, look = differences[arm].dropna().to_numpy(), arms[arm].look
        spread = y + 0.26 * np.sin(np.arange(len(values)) * 2.4)  # a jitter without chance
        axes.scatter(
            values, spread, s=7, color=look.colour, alpha=0.5, linewidths=0,
            rasterized=differences.size >= MANY,
        )  # fmt: skip
        axes.plot([values.mean()] * 2, [y - 0.36, y + 0.36], color=INK, linewidth=1.6)
    axes.set_yticks(at, differences.columns, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(at) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.spines["left"].set_visible(False)
    _title(axes, label)
    axes.set_xlabel(f"arm minus {against}")
    alt = f"Difference of {label} to {against} on every pair, one row of dots per arm with its mean"
    return to_svg(figure, alt, name)


def trend(
    wide: pd.DataFrame, factor: pd.Series, arms: Sequence[ArmView], name: str,
    xlabel: str, ylabel: str, bounds: pd.DataFrame | None = None,
) -> Markup | None:  # fmt: skip
    """Draw the mean of a metric per arm in up to four equally filled bins of a factor.

    ``bounds`` are floor and ceiling of the pairs. None where the factor is not known or takes a
    single value.
    """
    factor = factor.reindex(wide.index).dropna()
    bins = quantile_bins(factor)
    if bins is None:
        return None
    figure, axes = panel(WIDTH, HEIGHT)
    for end in () if bounds is None else ("floor", "ceiling"):
        mean = bounds[end].reindex(factor.index).groupby(bins).mean()
        axes.plot(range(len(mean)), mean, color=MUTED, linewidth=1, linestyle=LINES[end])
    for view in arms:
        if view.name in wide:
            mean = wide[view.name].reindex(factor.index).groupby(bins).mean()
            look = view.look
            axes.plot(
                range(len(mean)), mean, color=look.colour, marker=look.marker, markersize=5,
                markerfacecolor=look.face, linestyle=look.dashes, linewidth=1.3,
            )  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ylabel)
    centre = factor.groupby(bins).median()
    axes.set_xticks(range(len(centre)), _distinct(centre))
    axes.margins(x=0.1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    n = ", ".join(str(size) for size in bins.value_counts(sort=False))
    _title(axes, f"pairs per bin: {n}", weight="normal", size=8, color=MUTED)
    return to_svg(figure, f"{ylabel} by {xlabel}, one line per arm; pairs per bin: {n}", name)


def _distinct(values: pd.Series) -> list[str]:
    """Format increasing values with the fewest digits that tell them apart."""
    for digits in range(2, 7):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == len(labels):
            break
    return labels


def quantile_bins(factor: pd.Series, most: int = 4, fewest: int = 4) -> pd.Series | None:
    """Cut a factor into up to ``most`` bins with at least ``fewest`` pairs each; None if it cannot.

    Returns the bin (0, 1, ...) of each entry.
    """
    n = min(most, len(factor) // fewest)
    if n < 2 or factor.nunique() < 2:
        return None
    bins = pd.qcut(factor, n, labels=False, duplicates="drop")
    return bins if bins.max() > 0 else None


def by_line(wide: pd.DataFrame, arms: Sequence[ArmView], name: str, label: str) -> Markup | None:
    """Draw the mean over pairs per cell line and arm; None where there is one line only."""
    lines = sorted(wide.index.get_level_values(CELL_LINE).unique())
    if len(lines) < 2:
        return None
    figure, axes = panel(max(WIDTH + 0.35, 1 + 0.7 * len(lines)), HEIGHT)
    mean = wide.groupby(level=CELL_LINE).mean().loc[lines]
    for view in arms:
        if view.name in mean:
            look = view.look
            axes.plot(
                range(len(lines)), mean[view.name], color=look.colour, marker=look.marker,
                markersize=5.5, markerfacecolor=look.face, linewidth=0.8, linestyle=":",
            )  # fmt: skip
    size = wide.groupby(level=CELL_LINE).size()
    axes.set_xticks(range(len(lines)), [f"{line}\n{size[line]} pairs" for line in lines], color=INK)
    axes.margins(x=0.12)
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return to_svg(figure, f"{label} by cell line, one mark per arm", name)


def delta_heat_map(rows: dict[str, np.ndarray], genes: Sequence[str], name: str, title: str):
    """Draw deltas of some genes: one row per source (observed, then arms), one column per gene."""
    values = np.array(list(rows.values()))
    limit = float(np.nanquantile(np.abs(values), 0.99)) or 1.0
    left, width = 0.12 + max(map(text_width, rows)), 0.165 * len(genes)
    bottom, height = 0.12 + max(text_width(gene, 7.5) for gene in genes), 0.19 * len(rows)
    figure, axes = panel(left + width + 0.85, bottom + height + TOP, left, bottom, 0.85)
    mesh = axes.pcolormesh(
        values, cmap=DIVERGING, vmin=-limit, vmax=limit, rasterized=True, edgecolors="none"
    )
    axes.axhline(1, color=PAPER, linewidth=3)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows), color=INK)
    axes.set_xticks(np.arange(len(genes)) + 0.5, list(genes), rotation=90, fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _title(axes, title)
    box = axes.get_position()
    beside = (
        box.x1 + 0.15 / figure.get_figwidth(),
        box.y0,
        0.1 / figure.get_figwidth(),
        box.height,
    )
    bar = figure.colorbar(mesh, cax=figure.add_axes(beside))
    bar.outline.set_visible(False)
    bar.set_label("delta, log1p", fontsize=8)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()
    alt = f"{title}: observed delta of {len(genes)} genes above the delta predicted by each arm"
    return to_svg(figure, alt, name)


def training_curves(
    history: pd.DataFrame, arms: dict[str, ArmView], name: str, label: str,
    kept: Mapping[tuple[str, int], int],
) -> Markup:  # fmt: skip
    """Draw one value over the steps of training, a line per arm and seed.

    Parameters
    ----------
    history
        arm, seed, step, value.
    arms
        Views of the arms.
    name, label
        Id prefix, and what the value is.
    kept
        {(arm, seed): step whose weights predict}, marked by a ring where the value is known.
    """
    figure, axes = panel(5.2, HEIGHT + 0.2)
    for (arm, seed), run in history.groupby(["arm", "seed"], sort=False):
        run = run.sort_values("step")
        look = arms[arm].look
        axes.plot(
            run["step"], run["value"], color=look.colour, linewidth=1.1, alpha=0.85,
            linestyle=look.dashes, marker=look.marker, markersize=3, markerfacecolor=look.face,
            markevery=max(1, len(run) // 6),
        )  # fmt: skip
        chosen = run[run["step"] == kept.get((arm, seed))]
        axes.plot(
            chosen["step"], chosen["value"], linestyle="none", marker="o", markersize=9,
            markerfacecolor="none", markeredgecolor=look.colour, markeredgewidth=1.6, label=KEPT,
        )  # fmt: skip
    axes.set(xlabel="step", ylabel=label)
    _few_ticks(axes)
    return to_svg(figure, f"{label} over the training steps, one line per arm and seed", name)


def gates(evidence: pd.DataFrame, arm: ArmView, name: str, weight: str) -> Markup:
    """Draw each candidate's effect of being left out against its gate or coefficient."""
    figure, axes = panel(WIDTH, HEIGHT - 0.3)
    axes.scatter(
        evidence["gate"], evidence["effect"], s=9, color=arm.look.colour, alpha=0.6,
        linewidths=0, rasterized=len(evidence) > 300,
    )  # fmt: skip
    axes.set(xlabel=weight, ylabel="effect if left out")
    _title(axes, arm.name)
    _few_ticks(axes)
    return to_svg(figure, f"Effect of deleting a candidate against its {weight}, {arm.name}", name)


def _title(axes: Axes, text: str, **words) -> None:
    """Write above the axes; ``set_title`` measures every label to find its place."""
    words = {"size": TITLE_SIZE, "weight": "bold", "xycoords": "axes fraction"} | words
    axes.annotate(
        text, (0, 1), xytext=(0, 5), textcoords="offset points", annotation_clip=False, **words
    )


def _few_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
