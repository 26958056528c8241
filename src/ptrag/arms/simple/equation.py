"""How a simple arm reads a pair: its equation, and of whom it has something to say."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted


def any_perturbation(fitted: "Fitted", perturbation: str) -> bool:
    """Whether an arm that treats all perturbations alike knows one: always."""
    return True


class Equation(NamedTuple):
    """How a simple arm reads a pair.

    Attributes
    ----------
    estimate
        ``estimate(fitted, line, perturbation)``.
    knows
        Whether it has more to say of a perturbation than the mean of the line.
    """

    estimate: "Callable[[Fitted, str, str], Estimate]"
    knows: "Callable[[Fitted, str], bool]" = any_perturbation
