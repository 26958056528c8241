"""The arms by name: each file of ``arms/catalogue`` is one."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm
from ptrag.base.errors import PtragError, did_you_mean

if TYPE_CHECKING:
    from ptrag.cells.responses import Responses

EMBEDDING_CONTROLS = ("random", "shuffled")
"""Negative controls that spoil what an arm reads of texts, as in ``ptrag@shuffled``."""

REASSIGNED = "reassigned"
"""Negative control that spoils what stage one retrieves and leaves the vectors: every perturbation
is given the candidates of another one."""

PERMUTED = "permuted"
"""Negative control that spoils the measured responses: dealt anew within each line."""

NEGATIVE_CONTROLS = (*EMBEDDING_CONTROLS, REASSIGNED, PERMUTED)
"""All that may follow an arm's name and an ``@``."""

PERMUTATION_SEED = 0


def arm_names() -> list[str]:
    """Return the names of all arms, sorted, without negative controls."""
    folder = Path(__file__).with_name("catalogue")
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def base_name(arm: str) -> str:
    """Return the arm's name without its negative control.

    Examples
    --------
    >>> base_name("ptrag@shuffled")
    'ptrag'
    """
    return arm.partition("@")[0]


def negative_control(arm: str) -> str | None:
    """Return the negative control in an arm's name, one of :data:`NEGATIVE_CONTROLS`, or None.

    Examples
    --------
    >>> negative_control("response_expert@permuted")
    'permuted'
    """
    return arm.partition("@")[2] or None


def embedding_control(arm: str) -> str | None:
    """Return the control that an arm's embedding is of; None where it reads the true one.

    Examples
    --------
    >>> embedding_control("ptrag@shuffled")
    'shuffled'
    >>> embedding_control("response_expert@permuted")
    """
    control = negative_control(arm)
    return control if control in EMBEDDING_CONTROLS else None


def load_arm(name: str) -> Arm:
    """Return an arm by name, such as ``ptrag``, ``ptrag@shuffled`` or ``response_expert@permuted``.

    Of a ``@permuted`` arm, ``fit`` permutes the responses that it is given before it reads them.

    Raises
    ------
    PtragError
        For an unknown arm or negative control, for ``@permuted`` of an arm that reads no measured
        responses, or ``@reassigned`` of one that is more than its candidates.
    """
    base, _, control = name.partition("@")
    if base not in arm_names():
        raise PtragError(f"arm {name!r}: unknown; {did_you_mean(base, arm_names())}")
    if "@" in name and control not in NEGATIVE_CONTROLS:
        raise PtragError(
            f"arm {name!r}: no negative control {control!r}; "
            + did_you_mean(control, NEGATIVE_CONTROLS)
        )
    arm = importlib.import_module(f"ptrag.arms.catalogue.{base}").ARM
    if control == REASSIGNED and arm.fitted_as:
        raise PtragError(
            f"arm {name!r}: {base!r} looks for responses itself, of which the candidates of stage "
            f"one are a small part; name {base}@shuffled or response_expert@permuted"
        )
    if control != PERMUTED:
        return replace(arm, name=name)
    if not arm.reads_responses:
        raise PtragError(
            f"arm {name!r}: {base!r} reads no measured responses that could be permuted; take it "
            f"off, or name one of {', '.join(f'{base}@{c}' for c in EMBEDDING_CONTROLS)}"
        )
    return replace(arm, name=name, fit=_on_permuted(arm.fit))


def _on_permuted(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``fit`` on responses that are permuted first."""

    def fit_permuted(responses: "Responses", *arguments: Any) -> Any:
        return fit(responses.permuted(PERMUTATION_SEED), *arguments)

    return fit_permuted
