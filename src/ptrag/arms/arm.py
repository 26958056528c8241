"""What an arm is: one way to predict the cells of a pair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from ptrag.arms.estimate import Estimate
    from ptrag.arms.neural.networks import Shapes
    from ptrag.cells.responses import Responses
    from ptrag.retrieval.index import Neighbours


class ClosedForm(Protocol):
    """A fitted closed form.

    Attributes
    ----------
    responses
        What it was fitted on.
    neighbours
        Stage one's candidates; None where it reads none.
    """

    responses: "Responses"
    neighbours: "Neighbours | None"

    def __call__(self, line: str, perturbation: str) -> "Estimate":
        """Predict a pair."""

    def knows(self, perturbation: str) -> bool:
        """Whether it has more to say of a perturbation than the mean of the line."""

    def with_line(self, line: str, mean: "np.ndarray", se: "np.ndarray") -> "ClosedForm":
        """Return the same with one more line, of which the controls' mean and error are known."""

    def learn(self, names: Sequence[str], vectors: "np.ndarray") -> None:
        """Take in the vectors of perturbations that were not there when it was fitted."""


@dataclass(frozen=True)
class Arm:
    """One way to predict.

    Attributes
    ----------
    name
        As in ``config.yaml``; ``ptrag@shuffled`` is ``ptrag`` with a negative control
        (:data:`ptrag.arms.registry.NEGATIVE_CONTROLS`).
    family
        ``closed_form`` arms are fitted in one go by :attr:`fit`; ``neural`` arms are trained,
        as the network that :attr:`build` makes; a ``ceiling`` runs no job, its scores are
        by-products of scoring the others.
    summary
        One sentence for tables and reports.
    origin
        Where the method comes from.
    fit
        Closed form: ``fit(responses, embedding, neighbours, options)`` returns a
        :class:`ClosedForm`. Embedding and neighbours are None where the arm's options ask for
        none.
    write, read
        Closed form: ``write(fitted, path)`` writes what was fitted to one file, ``read(path)`` has
        it back without fitting anything; None for what predicts nothing new (``oracle``).
    build
        Neural: ``build(options, model, shapes)`` returns the network.
    reads_responses
        Whether :attr:`fit` learns from measured responses, so that permuting them is a control.
    fitted_as
        The arm that is fitted once, in a job of its own, for all that read what was fitted; None
        where fitting takes no time.

    Notes
    -----
    Both callables import what is heavy when they are called, so that listing arms needs
    neither torch nor scipy.
    """

    name: str
    family: Literal["closed_form", "neural", "ceiling"]
    summary: str
    origin: str
    fit: "Callable[..., ClosedForm] | None" = None
    write: "Callable[[ClosedForm, Path], None] | None" = None
    read: "Callable[[Path], ClosedForm] | None" = None
    build: Callable[[dict[str, Any], dict[str, Any], "Shapes"], "nn.Module"] | None = None
    reads_responses: bool = False
    fitted_as: str | None = None

    @property
    def path(self) -> str:
        """The arm's source file, relative to the folder of the library."""
        return f"ptrag/arms/catalogue/{self.name.partition('@')[0]}.py"
