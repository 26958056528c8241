"""The map of a split: predicted deltas of all its pairs, those alike beside each other."""

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import leaves_list, linkage

from ptrag.base.names import Pair
from ptrag.comparison.recommendation import pages_of
from ptrag.report.deltas import predicted_deltas
from ptrag.report.figure import INK, MUTED, TOP, panel, text_width, to_svg
from ptrag.report.gather import Results, SplitView
from ptrag.report.plots import DIVERGING

N_PAIRS = 120  # rows, at most: those with the strongest prediction
N_GENES = 45  # columns: the genes whose predicted delta varies most
ROW, COLUMN, SMALL = 0.115, 0.115, 6.5  # inches, points


def clustered_map(results: Results, split: SplitView) -> dict[str, object] | None:
    """Draw predicted deltas, pairs × genes, beside the observed ones in the same order.

    Rows and columns stand in the order of average-linkage clustering of the predicted deltas.

    Returns
    -------
    dict
        ``arm``, the arm that predicts, ``svg``, ``n_pairs`` and ``n_genes``; None where fewer than
        three pairs are predicted.
    """
    arm = next(iter(pages_of(split.claims)), None)
    if arm is None or not results.arms[arm].seeds:
        return None
    pairs = [Pair(*key) for key in split.pairs.index]
    of_arm = predicted_deltas(results, split.name, pairs, [arm])[arm]
    pairs = [pair for pair in pairs if pair in of_arm]
    if len(pairs) < 3:
        return None
    predicted = np.array([of_arm[pair] for pair in pairs])
    strongest = np.argsort(-np.linalg.norm(predicted, axis=1), kind="stable")[:N_PAIRS]
    varying = np.argsort(-predicted[strongest].var(axis=0), kind="stable")[:N_GENES]
    rows = strongest[_order(predicted[np.ix_(strongest, varying)])]
    columns = varying[_order(predicted[np.ix_(rows, varying)].T)]
    store = results.store
    observed = np.array([store.observed_delta(*pairs[row])[columns] for row in rows])
    one_line = len({pair.cell_line for pair in pairs}) == 1
    names = [
        pairs[row].perturbation if one_line else f"{pairs[row].perturbation} {pairs[row].cell_line}"
        for row in rows
    ]
    genes = [store.genes[column] for column in columns]
    svg = _draw(predicted[np.ix_(rows, columns)], observed, names, genes, arm, split.name)
    return {"arm": arm, "svg": svg, "n_pairs": len(rows), "n_genes": len(columns)}


def _order(values: np.ndarray) -> np.ndarray:
    """Return the order of rows in which those alike stand beside each other."""
    if len(values) < 3:
        return np.arange(len(values))
    return leaves_list(linkage(values, method="average", optimal_ordering=True))


def _draw(
    predicted: np.ndarray, observed: np.ndarray, rows: list[str], columns: list[str], arm: str,
    name: str,
):  # fmt: skip
    limit = float(np.nanquantile(np.abs(predicted), 0.99)) or 1.0
    left, gap, right = 0.1 + max(text_width(row, SMALL) for row in rows), 0.2, 0.75
    bottom = 0.1 + max(text_width(gene, SMALL) for gene in columns)
    width, height = COLUMN * len(columns), ROW * len(rows)
    total = left + 2 * width + gap + right
    figure, axes = panel(total, bottom + height + TOP, left, bottom, right + gap + width)
    box = axes.get_position()
    beside = figure.add_axes(((left + width + gap) / total, box.y0, box.width, box.height))
    halves = (axes, predicted, f"{arm} predicts"), (beside, observed, "measured")
    for axis, values, title in halves:
        mesh = axis.pcolormesh(
            values, cmap=DIVERGING, vmin=-limit, vmax=limit, rasterized=True, edgecolors="none"
        )
        axis.invert_yaxis()
        axis.grid(visible=False)
        axis.set_xticks(
            np.arange(len(columns)) + 0.5, columns, rotation=90, fontsize=SMALL, color=MUTED
        )
        axis.set_yticks([])
        axis.tick_params(length=0, pad=1)
        axis.spines[:].set_visible(False)
        axis.set_title(title)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=SMALL, color=INK)
    high = min(1.6, height) / figure.get_figheight()
    bar_box = (1 - (right - 0.15) / total, box.y1 - high, 0.1 / total, high)
    bar = figure.colorbar(mesh, cax=figure.add_axes(bar_box))
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()
    alt = f"{arm} on {name}: predicted deltas of {len(rows)} pairs, clustered, beside measured ones"
    return to_svg(figure, alt, f"{name}-clustered")
