"""How a simple arm reads a pair: its equation, and of whom it has something to say."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.arms.simple.fitted import Fitted


def any_perturbation(fitted: "Fitted", perturbation: str) -> bool:
    """Whether an arm that treats all perturbations alike knows one: always."""
    return True


def trained_on(fitted: "Fitted", perturbation: str) -> bool:
    """Whether a perturbation was trained on in any line."""
    return fitted.responses.number(perturbation) >= 0


def trained_on_or_near(fitted: "Fitted", perturbation: str) -> bool:
    """Whether a perturbation was trained on, or has neighbours."""
    return trained_on(fitted, perturbation) or perturbation in fitted.neighbours


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
