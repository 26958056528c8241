"""What a fitted expert rests on: the same expert without one of its sources.

Nothing is fitted again: weights, slopes and variances stay, so that what a source adds to a score
is the score with it less the score without it. The sources:

``level``
    What all perturbations of the line share: the delta is what the members say beyond it, and the
    profile that delta on the line's controls.
``same perturbation``
    The entries that share a target gene with the pair. Likeness of responses needs them too, for it
    compares the perturbation's own responses in other lines.
``like responses``
    Likeness of responses: d and e of every process are 0 (:mod:`ptrag.arms.expert.posterior`).
``texts``
    What reads vectors: ``ridge`` and ``knn`` say nothing, b and c of every process are 0.

The residual of a network that starts from an expert is left out by
``NetworkPredictor.without_residual``.

What a member no longer says is the line's level. Sources stand in for each other: where two say the
same, each alone can be missed, and the parts add up to less than the whole.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ptrag.arms.estimate import Estimate
from ptrag.arms.expert.expert import Expert
from ptrag.arms.expert.posterior import Variances

LEVEL, SAME, RESPONSES, TEXTS = "level", "same perturbation", "like responses", "texts"
SOURCES = (LEVEL, SAME, RESPONSES, TEXTS)
READ_TEXTS = ("ridge", "knn")


def without(expert: Expert, source: str) -> Callable[[str, str], Estimate]:
    """Return what a fitted expert would predict without one of :data:`SOURCES`.

    Parameters
    ----------
    expert
        A fitted one; it is not changed.
    source
        What is left out.

    Returns
    -------
    predict
        (line, perturbation) → estimate.
    """
    if source == SAME:
        return lambda line, perturbation: _unmeasured(expert, perturbation)(line, perturbation)
    if source == LEVEL:
        return lambda line, perturbation: _beyond_level(expert, line, perturbation)
    if source == RESPONSES:
        return _with_variances(expert, response=0.0, response_in_line=0.0)
    weights = {name: w for name, w in expert.stack.weights.items() if name not in READ_TEXTS}
    read = replace(expert, stack=replace(expert.stack, weights=weights))
    return _with_variances(read, text=0.0, text_in_line=0.0)


def _beyond_level(expert: Expert, line: str, perturbation: str) -> Estimate:
    estimate = replace(expert, share=0.0)(line, perturbation)
    shared = np.zeros_like(estimate.delta)
    return estimate._replace(origin=estimate.origin._replace(shared=shared))


def _with_variances(expert: Expert, **values: float) -> Expert:
    changed: dict[str, Variances] = {
        name: replace(of_process, **values) for name, of_process in expert.variances.items()
    }
    return replace(expert, variances=changed)


def _unmeasured(expert: Expert, perturbation: str) -> Expert:
    """Return the expert without the entries that share a gene with a perturbation."""
    genes = set(perturbation.split("+"))
    pairs = expert.responses.pairs
    rows = np.flatnonzero([bool(genes & set(pair.perturbation.split("+"))) for pair in pairs])
    sparse = expert.shrunken
    return replace(
        expert,
        responses=expert.responses.without(rows),
        shrunken=sparse and sparse.without(rows),
    )
