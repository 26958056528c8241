"""Which arms have not reached their plateau in training: nothing is claimed about them.

The rule is that of :mod:`ptrag.base.plateau`, by which training itself stops, on the validation
metric that chose the checkpoint.
"""

from collections.abc import Iterable
from pathlib import Path

from ptrag.base.files import read_table
from ptrag.base.names import METRIC, VALUE
from ptrag.base.plateau import still_improving
from ptrag.metrics.registry import METRICS


def improving_arms(histories: Iterable[tuple[str, str, str | Path]]) -> set[str]:
    """Return the arms of which at least one run is still improving.

    Parameters
    ----------
    histories
        (arm, the metric that chose its checkpoint, path of ``history.tsv``) of every trained run.
    """
    return {
        arm for arm, monitor, path in histories if still_improving(_validation_curve(monitor, path))
    }


def _validation_curve(monitor: str, path: str | Path) -> list[float]:
    """Return the validation values in the order of the steps, less being better."""
    history = read_table(path)
    rows = history[(history["split"] == "val") & (history[METRIC] == monitor)]
    sign = -1 if METRICS[monitor].higher else 1
    return (sign * rows.sort_values("step")[VALUE]).tolist()
