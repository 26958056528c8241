"""Fit the expert to exact leave-one-out: variances, weights, slopes, share, spread and signs.

What is left out is what the protocol holds out (:mod:`ptrag.arms.expert.variances`). What is drawn
is drawn from one seed: the same entries give the same expert.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from ptrag.arms.expert.components import Components
from ptrag.arms.expert.direction import fit_share
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.expert import BEFOREHAND, PROCESSES, STEPS, Expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.signs import Signs
from ptrag.arms.expert.sparse import shrunken
from ptrag.arms.expert.spread import Spread
from ptrag.arms.expert.stacking import LeftOut, Stack, fit_stack
from ptrag.arms.expert.variances import fit_variances, fitted_lines, fitted_on
from ptrag.arms.simple.line_means import left_out_line_means
from ptrag.arms.simple.ridge import fit_penalty
from ptrag.base.progress import Progress
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
        ``topk_rag``: k of :class:`Expert`; ``like``: an expert of the same responses and of other
        vectors, or None. What reads no vectors is taken from it, and is the same as if fitted.
    """
    like: Expert | None = options.get("like")
    progress = Progress("expert", 5 + sum(map(len, STEPS)), "steps of the fit done")
    text = TextSimilarity(embedding, responses.perturbations)
    with progress.stage("shrinking the entries"):
        sparse = like.shrunken if like else _shrunken(responses)
    entries = _entries(responses, sparse)
    progress.total = 5 + sum(map(len, _steps(entries)))
    variances = dict(like.variances) if like else {}
    variances.pop("text_process", None)
    with progress.stage("variances of the processes"):
        for name in [name for name in entries if name not in variances]:
            variances[name] = fit_variances(entries[name], text, read=name == "text_process")
    with progress.stage("directions of responses"):
        components = like.components if like else Components.of(responses)
    with progress.stage("penalty of the regression"):
        penalty = fit_penalty(responses, text)
    level = like.level if like else Level.fitted(responses)
    expert = Expert(
        responses, text, neighbours, options["topk_rag"], sparse,
        {name: variances[name] for name in entries}, components, penalty, level,
        Stack({}, np.ones(len(responses.genes))),
    )  # fmt: skip
    fit_mixture(expert, progress)
    return expert


def _shrunken(responses: Responses) -> Entries | None:
    """Return the shrunken entries; none where texts alone tell of what is held out."""
    return None if responses.protocol == "unseen_perturbation" else shrunken(responses)


def _steps(processes: Collection[str]) -> list[list[str]]:
    """Return the members of each step, of processes those that there are."""
    return [[name for name in step if name not in PROCESSES or name in processes] for step in STEPS]


def _entries(responses: Responses, sparse: Entries | None) -> dict[str, Entries]:
    """Return what each process mixes."""
    entries = {"text_process": Entries.measured(responses)}
    if responses.protocol != "unseen_perturbation":
        entries["process"] = entries["text_process"]
    if sparse:
        entries["sparse_process"] = sparse
    return entries


def fit_mixture(expert: Expert, progress: Progress) -> None:
    """Fit what leave-one-out decides of an expert whose members are fitted."""
    responses = expert.responses
    groups = fitted_on(responses, fitted_lines(responses))
    rows = np.concatenate(groups)
    mean = left_out_line_means(responses, groups)
    reach = expert.level.left_out_reach(responses, groups)
    steps = _steps(expert.variances)
    each, variances = {}, {None: np.ones(len(rows))}
    for name in [name for step in steps for name in step]:
        with progress.stage(f"{name}, leaving out each entry"):
            each[name] = reach * expert.left_out(name, groups, mean)
            if name in PROCESSES:
                variances[name] = expert.member(name).left_out_variance(groups)
        expert.keep_solved([])  # two solved processes need not fit into memory
    mean *= reach
    left = LeftOut(each, responses.delta[rows] - mean, responses.perturbation_of[rows])
    with progress.stage("weights of the members"):
        expert.stack = fit_stack(left, steps, BEFOREHAND.get(responses.protocol))
    variance = variances[expert.leading]
    beyond = expert.stack.slopes * left.mix(expert.stack.weights)
    own, lines = responses.own_variance[rows], responses.line_of[rows]
    expert.spread = Spread.fitted(beyond, left.missing, own, variance)
    level = expert.level.left_out(responses, groups)
    expert.share = _share(expert, left, beyond, mean, level, rows)
    uncertain = expert.level.variance[lines] + ((1 - expert.share) * level) ** 2
    # the truth of new pairs is about θ̂ as a draw from its posterior is, one for all of a line
    errors = np.random.default_rng(0).standard_normal(expert.level.variance.shape)
    errors *= np.sqrt(expert.level.variance)
    expert.signs = Signs.fitted(
        expert.share * level + beyond, expert.spread.sd(beyond, variance[:, None], uncertain),
        level + errors[lines] + left.missing, np.sqrt(own), left.perturbation,
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
