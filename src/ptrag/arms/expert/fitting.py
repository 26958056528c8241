"""Fit the expert to exact leave-one-out: variances, weights, slopes, share, spread and signs.

What is left out is what the protocol holds out (:mod:`ptrag.arms.expert.variances`). Nothing is
random.
"""

from typing import Any

import numpy as np

from ptrag.arms.expert.components import Components
from ptrag.arms.expert.direction import fit_share
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.expert import PROCESSES, STEPS, Expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.signs import Signs
from ptrag.arms.expert.sparse import shrunken
from ptrag.arms.expert.spread import Spread
from ptrag.arms.expert.stacking import LeftOut, Stack, fit_stack
from ptrag.arms.expert.variances import fit_variances, fitted_lines, fitted_on
from ptrag.arms.simple.line_means import left_out_line_means
from ptrag.arms.simple.ridge import fit_penalty
from ptrag.cells.responses import Responses
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.index import Neighbours
from ptrag.retrieval.similarity import TextSimilarity


def fit_expert(
    responses: Responses, embedding: Embedding, neighbours: Neighbours, options: dict[str, Any]
) -> Expert:
    """Return the expert of measured responses.

    Parameters
    ----------
    responses
        Training entries, protocol and target line.
    embedding, neighbours
        Vectors of perturbations and stage one's candidates.
    options
        ``topk_rag``: k of :class:`Expert`.
    """
    text = TextSimilarity(embedding, responses.perturbations)
    new = responses.protocol == "unseen_perturbation"  # of these, texts alone tell
    sparse = None if new else shrunken(responses)
    entries = {"text_process": Entries.measured(responses)}
    if not new:
        entries["process"] = entries["text_process"]
    if sparse:
        entries["sparse_process"] = sparse
    variances = {
        name: fit_variances(mixed, text, read=name == "text_process")
        for name, mixed in entries.items()
    }
    expert = Expert(
        responses, text, neighbours, options["topk_rag"], sparse, variances,
        Components.of(responses), fit_penalty(responses, text), Level.fitted(responses),
        Stack({}, np.ones(len(responses.genes))),
    )  # fmt: skip
    fit_mixture(expert)
    return expert


def fit_mixture(expert: Expert) -> None:
    """Fit what leave-one-out decides of an expert whose members are fitted."""
    responses = expert.responses
    groups = fitted_on(responses, fitted_lines(responses))
    rows = np.concatenate(groups)
    mean = left_out_line_means(responses, groups)
    steps = [
        [name for name in step if name not in PROCESSES or name in expert.variances]
        for step in STEPS
    ]
    left = LeftOut(
        {name: expert.left_out(name, groups, mean) for step in steps for name in step},
        responses.delta[rows] - mean,
        responses.perturbation_of[rows],
    )
    expert.stack = fit_stack(left, steps)
    expert.keep_solved(expert.stack.weights)
    variance = np.ones(len(rows))
    if expert.leading:
        variance = expert.member(expert.leading).left_out_variance(groups)
    beyond = expert.stack.slopes * left.mix(expert.stack.weights)
    own, lines = responses.own_variance[rows], responses.line_of[rows]
    expert.spread = Spread.fitted(beyond, left.missing, own, variance)
    level = expert.level.left_out(responses, groups)
    expert.share = _share(expert, left, beyond, mean, level, rows)
    known = expert.level.variance[lines]
    uncertain = known + ((1 - expert.share) * level) ** 2
    expert.signs = Signs.fitted(
        expert.share * level + beyond, expert.spread.sd(beyond, variance[:, None], uncertain),
        level + left.missing, np.sqrt(own + known), left.perturbation,
    )  # fmt: skip


def _share(
    expert: Expert, left: LeftOut, beyond: np.ndarray, mean: np.ndarray, level: np.ndarray,
    rows: np.ndarray,
) -> float:  # fmt: skip
    """Return κ, from all genes that no entry left out targets."""
    responses, lines = expert.responses, expert.responses.line_of[rows]
    targets = [responses.columns(responses.pairs[i].perturbation) for i in rows]
    kept = np.setdiff1d(np.arange(level.shape[1]), np.concatenate(targets))
    common = _of_line(level, lines)
    simple = [left.beyond[name] + mean for step in STEPS for name in step if name not in PROCESSES]
    measured = common + responses.delta[rows] - _of_line(mean, lines)
    return fit_share(
        common[:, kept], beyond[:, kept], [delta[:, kept] for delta in simple],
        measured[:, kept], lines,
    )  # fmt: skip


def _of_line(values: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """(n, G) mean of the values of each entry's line."""
    means = np.empty_like(values)
    for line in np.unique(lines):
        means[lines == line] = values[lines == line].mean(axis=0)
    return means
