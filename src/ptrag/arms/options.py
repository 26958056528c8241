"""The published commands' options, checked against what an arm is."""

from typing import Any

from ptrag.base.errors import PtragError


def fixed(arm: str, options: dict[str, Any], **values: bool) -> None:
    """Check that the options that define an arm have their values where they are given.

    Raises
    ------
    PtragError
        When an option contradicts the arm.
    """
    for key, value in values.items():
        if options.get(key, value) != value:
            raise PtragError(
                f"arm_options.{arm}.{key}: {options[key]!r} contradicts the arm, for which it is "
                f"{value!r}; set it so, or choose another arm"
            )
