"""How far predicted deltas can be trusted: conformal intervals, and a support score.

What is covered is the *observed* delta of a pair, gene by gene: mean of its cells minus mean of
its line's yardstick controls, so that the interval contains the sampling noise of the pair's n
cells and of these controls. It stands around the predicted delta.

Interval of pair i and gene g:  δ̂_ig ± q_class(g) · s_ig

scale
    s_ig² = noise_g / n_i + v_g / n_given + v'_g / n_yardstick + signal_g, noise and signal from
    *training* pairs (:class:`ptrag.cells.noise.Precision`), v and v' the variances of the line's
    given and yardstick controls: the two deltas differ by two independent control means.
classes
    Genes are parted into :data:`CLASSES` of equal size by signal_g / noise_g, each with its own
    q (Mondrian), so that genes that respond do not borrow coverage from genes that never move.
q
    From the scores ``r_ig = |δ_ig − δ̂_ig| / s_ig`` of the *validation* pairs of this arm and seed.
    Genes of a pair, and the pairs of one perturbation in several lines, are dependent: the
    exchangeable unit is the perturbation. So the level is calibrated by leaving perturbations
    out: λ is the smallest level at which the λ-quantile of all others' scores covers the share
    ``evaluation.coverage`` of the scores of the perturbation left out, and q is the λ-quantile of
    all scores. With one score per perturbation this is split conformal prediction with its
    finite-sample correction; with many it is that of hierarchical data without the price of an
    infinite interval below nine perturbations. On average over splits coverage is as stated
    (tests simulate it down to three perturbations); a single split with few validation
    perturbations may miss by several points, and its measured coverage stands in the file.

Validation pairs also chose the checkpoint of trained arms, so their errors are a little small;
the coverage that is measured on test pairs shows by how much.

``intervals.h5ad``: an AnnData file. obs: cell_line, perturbation, role, n_cells of every
predicted val and test pair; var: the store's genes with noise, signal, gene_class and q; X:
predicted delta; layers ``observed`` and ``half_width``; uns: level, n_perturbations and n_pairs
that q comes from (fewer than two perturbations: half_width is NaN), scale, simulated.

``conformal.tsv``: one row per such pair: cell_line, perturbation, role, n_cells; ``coverage``,
the share of genes whose observed delta lies in the interval; ``coverage_degs``, that of its DEGs
(genes chosen because they moved are covered less); ``width``, the mean width; ``support``
(:mod:`ptrag.evaluation.support`; NA for arms that do not retrieve). Perturbed genes are left out of
calibration and coverage where ``evaluation.exclude_target`` says so. Validation pairs are covered
by construction: coverage is measured on test pairs.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from ptrag.base.files import atomic, read_table, write_table
from ptrag.base.names import CELL_LINE, N_CELLS, PAIR, PERTURBATION, ROLE, Pair
from ptrag.cells.noise import Precision
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import write_h5ad_around
from ptrag.evaluation.predictions import PredictedMean, read_profiles
from ptrag.evaluation.reference import read_reference
from ptrag.evaluation.sides import Reference
from ptrag.evaluation.support import support
from ptrag.metrics.degs import benjamini_hochberg
from ptrag.splits.protocols import Split

CLASSES = 4
COLUMNS = [*PAIR, ROLE, N_CELLS, "coverage", "coverage_degs", "width", "support"]

logger = logging.getLogger("ptrag")


def write_intervals(
    store: CellStore,
    split: Split,
    reference: str | Path,
    profiles: str | Path,
    evidence: str | Path,
    evaluation: Mapping[str, Any],
    out_h5ad: str | Path,
    out_tsv: str | Path,
) -> None:
    """Calibrate intervals on the val pairs of one run, and measure them on all.

    Parameters
    ----------
    store, split
        The real cells, and the role of every pair.
    reference
        What :func:`ptrag.evaluation.reference.build_reference` wrote for this split.
    profiles, evidence
        ``profiles.h5ad`` and ``evidence.tsv`` of the run.
    evaluation
        The section of the configuration; ``coverage`` is the level.
    out_h5ad, out_tsv
        The files to write.
    """
    known = read_reference(reference, store, split)
    pairs, predicted, observed = _deltas(known, read_profiles(profiles, store))
    counted, degs = _genes_of(known, pairs)
    scale = scales(known, pairs)
    classes = gene_classes(known.precision)
    validation = (pairs[ROLE] == "val").to_numpy()
    q = calibrate(
        np.where(counted, np.abs(observed - predicted) / scale, np.nan)[validation],
        pairs[PERTURBATION].to_numpy()[validation], classes, evaluation["coverage"],
    )  # fmt: skip
    half_width = q * scale
    inside = np.abs(observed - predicted) <= half_width
    table = pairs[[*PAIR, ROLE, N_CELLS]].assign(
        coverage=_share(inside, counted, half_width),
        coverage_degs=_share(inside, degs, half_width),
        width=2 * half_width.mean(axis=1),
        support=support(pairs, read_table(evidence), known.precision.entries),
    )
    of_test = table.loc[table[ROLE] == "test", "coverage"]
    logger.info(
        "%d test pairs: %.3f of the deltas lie in their intervals", len(of_test), of_test.mean()
    )
    write_table(table[COLUMNS], out_tsv)
    facts = {
        "level": float(evaluation["coverage"]),
        "n_perturbations": int(pairs[PERTURBATION][validation].nunique()),
        "n_pairs": int(validation.sum()),
        "scale": store.scale,
        "simulated": store.simulated,
    }
    genes = pd.DataFrame(
        {"noise": known.precision.noise, "signal": known.precision.signal, "gene_class": classes,
         "q": q},
        index=pd.Index(store.genes, dtype=object),
    )  # fmt: skip
    layers = {"observed": observed, "half_width": half_width}
    _write(table[[*PAIR, ROLE, N_CELLS]], genes, predicted, layers, facts, out_h5ad)


def _deltas(
    reference: Reference, profiles: Mapping[Pair, PredictedMean]
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return the predicted pairs (with ``number``), and their (P, G) predicted and real deltas."""
    pairs = reference.pairs.assign(number=np.arange(len(reference.pairs)))
    pairs[N_CELLS] = [sample.n for sample, _ in reference.measured]
    pairs = pairs[[pair in profiles for pair in reference.keys]].reset_index(drop=True)
    numbers = pairs["number"]
    lines = [reference.line(number) for number in numbers]
    predicted = np.array([profiles[reference.keys[number]].delta for number in numbers])
    real = np.array([reference.measured[number][0].mean for number in numbers])
    yardstick = np.array([line.yardstick.moments.mean for line in lines])
    return pairs, predicted, real - yardstick


def _genes_of(reference: Reference, pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(P, G) bool: which genes count, and which of them are DEGs of the real cells."""
    counted = np.ones((len(pairs), reference.store.n_genes), bool)
    degs = np.zeros_like(counted)
    for i, (name, number) in enumerate(zip(pairs[PERTURBATION], pairs["number"], strict=True)):
        counted[i, reference.targets(name)] = False
        p = reference.measured[number][1][counted[i]]
        degs[i, counted[i]] = benjamini_hochberg(p) < reference.settings["deg_alpha"]
    return counted, degs


def scales(reference: Reference, pairs: pd.DataFrame) -> np.ndarray:
    """Return s (P, G), positive: the error expected of a delta before any prediction is seen.

    A gene that varies neither in training nor in control cells gets the smallest scale of others.
    """
    control = {
        name: sum(part.moments.variance / part.moments.n for part in (line.given, line.yardstick))
        for name, line in reference.lines.items()
    }
    of_controls = np.array([control[line] for line in pairs[CELL_LINE]])
    cells = pairs[N_CELLS].to_numpy()[:, None]
    variance = reference.precision.noise / cells + of_controls + reference.precision.signal
    positive = variance[variance > 0]
    return np.sqrt(np.maximum(variance, positive.min() if len(positive) else 1.0))


def gene_classes(precision: Precision, classes: int = CLASSES) -> np.ndarray:
    """Return the class of each gene, (G,): equal parts by signal / noise, the still genes first."""
    signal, noise = precision.signal, precision.noise
    ratio = np.divide(signal, noise, out=np.zeros_like(signal), where=noise > 0)
    order = np.argsort(ratio, kind="stable")
    return np.argsort(order, kind="stable") * classes // len(ratio)


def calibrate(
    scores: np.ndarray, perturbations: np.ndarray, classes: np.ndarray, level: float
) -> np.ndarray:
    """Return q of each gene, (G,); NaN with fewer than two perturbations.

    Parameters
    ----------
    scores
        (P, G) r of the validation pairs; NaN where a gene does not count.
    perturbations
        (P,) of each pair.
    classes
        (G,) class of each gene.
    level
        Share to be covered.
    """
    q = np.full(len(classes), np.nan)
    if len(set(perturbations)) < 2:
        return q
    for number in np.unique(classes):
        genes = classes == number
        q[genes] = cross_quantile(scores[:, genes], perturbations, level)
    return q


def cross_quantile(scores: np.ndarray, clusters: np.ndarray, level: float) -> float:
    """Quantile of ``scores`` whose level is calibrated by leaving clusters out.

    Parameters
    ----------
    scores
        (P, n), NaN left out.
    clusters
        (P,) at least two distinct ones.
    level
        Share of a new cluster's scores that should not exceed the result.
    """
    needed = []  # smallest level at which the others' quantile covers a score
    for cluster in np.unique(clusters):
        inside = clusters == cluster
        others = np.sort(scores[~inside][~np.isnan(scores[~inside])])
        own = scores[inside][~np.isnan(scores[inside])]
        smaller = np.searchsorted(others, own, side="left")
        needed.append(np.minimum((smaller + 1) / len(others), 1.0))
    every = np.sort(scores[~np.isnan(scores)])
    return float(every[_at(np.sort(np.concatenate(needed))[_at(level, len(every))], len(every))])


def _at(level: float, n: int) -> int:
    """Position of the ``level``-quantile among n sorted values: the ⌈level n⌉-th."""
    return max(int(np.ceil(level * n - 1e-9)), 1) - 1


def _share(inside: np.ndarray, genes: np.ndarray, half_width: np.ndarray) -> np.ndarray:
    """Share of ``genes`` that lie inside, per pair; NaN without genes or intervals."""
    genes = genes & ~np.isnan(half_width)
    count = genes.sum(axis=1)
    nothing = np.full(len(genes), np.nan)
    return np.divide((inside & genes).sum(axis=1), count, out=nothing, where=count > 0)


def _write(
    obs: pd.DataFrame,
    var: pd.DataFrame,
    X: np.ndarray,
    layers: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    out: str | Path,
) -> None:
    obs = obs.set_index(obs[CELL_LINE] + " | " + obs[PERTURBATION])
    with atomic(out) as part:
        write_h5ad_around(part, obs, list(var.index), facts)
        with h5py.File(part, "r+") as file:
            file["X"][...] = X
            del file["var"]
            write_elem(file, "var", var)
            for name, values in layers.items():
                write_elem(file, f"layers/{name}", values.astype(np.float32))
