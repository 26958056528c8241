"""How long a training is where the configuration leaves it to the size of the screen."""

from collections.abc import Mapping
from typing import Any

PASSES = 100
"""How often every training cell is drawn within the budget, on average.

The networks of the demo were on their plateau, and stopped, after 45 to 95 (docs/training.md).
"""

FEWEST, MOST = 400, 50_001
"""Steps; the most are the paper's."""

VALIDATIONS = 40
"""Validations within the budget where the configuration does not say their distance.

A plateau can be seen from the eighth on.
"""


def sized(training: Mapping[str, Any], cells: int) -> dict[str, Any]:
    """Return the section ``training`` with a number for ``max_steps`` and ``validate_every``.

    Parameters
    ----------
    training
        The section; null stands for a number that depends on the screen.
    cells
        Perturbed cells that are trained on.
    """
    steps = training["max_steps"]
    if steps is None:
        drawn = training["sets"] * training["set_size"]
        steps = min(max(-(-PASSES * cells // drawn), FEWEST), MOST)
    every = training["validate_every"]
    if every is None:
        every = max(1, steps // VALIDATIONS)
    return {**training, "max_steps": steps, "validate_every": every}
