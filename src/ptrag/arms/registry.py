"""The arms by name: each file of ``arms/catalogue`` is one."""

import importlib
from dataclasses import replace
from pathlib import Path

from ptrag.arms.arm import Arm
from ptrag.base.errors import PtragError, did_you_mean

#: Negative-control embeddings that may follow an arm's name, as in ``ptrag@shuffled``.
EMBEDDING_CONTROLS = ("random", "shuffled")


def arm_names() -> list[str]:
    """Return the names of all arms, sorted, without negative-control variants."""
    folder = Path(__file__).with_name("catalogue")
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def base_name(arm: str) -> str:
    """Return the arm's name without its negative-control embedding.

    Examples
    --------
    >>> base_name("ptrag@shuffled")
    'ptrag'
    """
    return arm.partition("@")[0]


def embedding_control(arm: str) -> str | None:
    """Return the negative-control embedding in an arm's name, or None.

    Examples
    --------
    >>> embedding_control("ptrag@shuffled")
    'shuffled'
    """
    return arm.partition("@")[2] or None


def load_arm(name: str) -> Arm:
    """Return an arm by name, such as ``ptrag`` or ``ptrag@shuffled``.

    Raises
    ------
    PtragError
        For an unknown arm or negative control.
    """
    base, _, control = name.partition("@")
    if base not in arm_names():
        raise PtragError(f"arm {name!r}: unknown; {did_you_mean(base, arm_names())}")
    if "@" in name and control not in EMBEDDING_CONTROLS:
        raise PtragError(
            f"arm {name!r}: no negative-control embedding {control!r}; "
            + did_you_mean(control, EMBEDDING_CONTROLS)
        )
    return replace(importlib.import_module(f"ptrag.arms.catalogue.{base}").ARM, name=name)
