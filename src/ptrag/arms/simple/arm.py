"""What all simple arms share: one equation, fitted and written in the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.simple.fitted import Fitted


def simple_arm(name: str, equation: Equation, fit: Callable[..., "Fitted"], **facts: Any) -> Arm:
    """Return a simple arm.

    Parameters
    ----------
    name, fit, facts
        As in :class:`ptrag.arms.arm.Arm`.
    equation
        How it reads a pair.
    """

    def write(fitted: "Fitted", path: Path) -> None:
        from ptrag.arms.simple.fitted import write_fitted

        write_fitted(fitted, path)

    def read(path: Path) -> "Fitted":
        from ptrag.arms.simple.fitted import read_fitted

        return read_fitted(path, equation)

    return Arm(name, "closed_form", fit=fit, write=write, read=read, **facts)
