"""``response_expert``: retrieval of measured responses, in closed form.

δ̂(p, t) is a mixture of the training entries i = (q, l): the same perturbation in other lines,
neighbours by text, and neighbours by their responses in other lines, read out in the target line.
Gaussian processes that know each entry's standard error are stacked with the simple baselines by
weights, and slopes per gene, that exact leave-one-out fits (:mod:`ptrag.arms.expert.expert`,
docs/response-expert.md).

``@shuffled`` and ``@random`` spoil the texts alone; the same perturbation and the likeness of
measured responses remain. ``@permuted`` spoils the responses and leaves the texts: what is left is
the line's mean. Under ``unseen_perturbation`` text is all that retrieval has.

Origin: this project (``response_rag`` without its neural residual).
"""

from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from pathlib import Path

    from ptrag.arms.expert.expert import Expert
    from ptrag.cells.responses import Responses
    from ptrag.genes.embeddings import Embedding
    from ptrag.retrieval.index import Neighbours


def fit(
    responses: "Responses",
    embedding: "Embedding",
    neighbours: "Neighbours",
    options: dict[str, Any],
) -> "Expert":
    """Fit the expert."""
    from ptrag.arms.expert.fitting import fit_expert

    return fit_expert(responses, embedding, neighbours, options)


def write(fitted: "Expert", path: "Path") -> None:
    """Write the fitted expert."""
    from ptrag.arms.expert.files import write_expert

    write_expert(fitted, path)


def read(path: "Path") -> "Expert":
    """Read the fitted expert; nothing is fitted anew."""
    from ptrag.arms.expert.files import read_expert

    return read_expert(path)


ARM = Arm(
    name="response_expert",
    family="closed_form",
    summary="Measured responses, weighted by text, by response likeness and by their errors",
    origin="this project",
    fit=fit,
    write=write,
    read=read,
    reads_responses=True,
    fitted_as="response_expert",
)
