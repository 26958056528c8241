"""What trained runs say of themselves: their sections of the configuration, steps and seconds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptrag.base.files import read_json, read_table
from ptrag.base.names import Run
from ptrag.report.files import present

BUNDLE = "bundle/bundle.json"
"""What a trained run says of itself, inside its folder."""


@dataclass(frozen=True)
class Training:
    """What one trained run says of itself, in its bundle and its ``seconds.tsv``.

    Attributes
    ----------
    arm, seed
        The run.
    model, training
        Its sections of the configuration.
    step, validation
        The step whose weights it holds, and its validation values.
    last_step, seconds
        The last step that was trained, and the wall time up to it.
    """

    arm: str
    seed: int
    model: dict[str, Any]
    training: dict[str, Any]
    step: int
    validation: dict[str, float]
    last_step: int
    seconds: float


def read_training(run: Run, folder: Path) -> Training | None:
    """Return what a run says of its training; None for an arm that is not trained."""
    if not (folder / BUNDLE).is_file():
        return None
    about = read_json(folder / BUNDLE)
    if "training" not in about:
        return None
    last = read_table(present(folder / "seconds.tsv")).iloc[-1]
    return Training(
        run.arm, run.seed, about["model"], about["training"], about["step"], about["validation"],
        int(last["step"]), float(last["seconds"]),
    )  # fmt: skip
