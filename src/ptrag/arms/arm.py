"""What an arm is: one way to predict the cells of a pair."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

    from ptrag.arms.neural.networks import Shapes


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
        Closed form: ``fit(responses, embedding, neighbours, options)`` returns a callable
        (line, perturbation) → Estimate. Embedding and neighbours are None where the arm's
        options ask for none.
    build
        Neural: ``build(options, model, shapes)`` returns the network.
    reads_responses
        Whether :attr:`fit` learns from measured responses, so that permuting them is a control.

    Notes
    -----
    Both callables import what is heavy when they are called, so that listing arms needs
    neither torch nor scipy.
    """

    name: str
    family: Literal["closed_form", "neural", "ceiling"]
    summary: str
    origin: str
    fit: Callable[..., Callable[..., Any]] | None = None
    build: Callable[[dict[str, Any], dict[str, Any], "Shapes"], "nn.Module"] | None = None
    reads_responses: bool = False

    @property
    def path(self) -> str:
        """The arm's source file, relative to the folder of the library."""
        return f"ptrag/arms/catalogue/{self.name.partition('@')[0]}.py"
