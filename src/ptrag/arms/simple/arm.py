"""What all simple arms share: one equation, fitted and written in the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.arms.simple.equation import Equation

if TYPE_CHECKING:
    from ptrag.arms.simple.fitted import Fitted
    from ptrag.cells.responses import Responses


def simple_arm(
    name: str,
    equation: Equation,
    fit: Callable[..., "Fitted"] | None = None,
    keeps_neighbours: bool = False,
    **facts: Any,
) -> Arm:
    """Return a simple arm.

    Parameters
    ----------
    name, fit, facts
        As in :class:`ptrag.arms.arm.Arm`; without ``fit`` the responses are kept as they are.
    equation
        How it reads a pair.
    keeps_neighbours
        Keep the neighbours, too; ``options["topk_rag"]`` is the number that counts.
    """

    def keep(
        responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
    ) -> "Fitted":
        from ptrag.arms.simple.fitted import Fitted

        if keeps_neighbours:
            return Fitted(equation, responses, neighbours=neighbours, k=options["topk_rag"])
        return Fitted(equation, responses)

    def write(fitted: "Fitted", path: Path) -> None:
        from ptrag.arms.simple.fitted import write_fitted

        write_fitted(fitted, path)

    def read(path: Path) -> "Fitted":
        from ptrag.arms.simple.fitted import read_fitted

        return read_fitted(path, equation)

    return Arm(name, "closed_form", fit=fit or keep, write=write, read=read, **facts)
