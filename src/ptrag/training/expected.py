"""What an expert expects of the pairs that a network trains and validates on.

A training pair is expected by exact leave-one-out, so that its own cells never serve it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptrag.arms.estimate import start
from ptrag.base.files import atomic
from ptrag.base.progress import Progress

if TYPE_CHECKING:
    from ptrag.arms.expert.expert import Expert


class Expected(NamedTuple):
    """Of the N training entries and the V validation pairs, in their order.

    Attributes
    ----------
    train, val
        (N, G) and (V, G) deltas.
    train_change, val_change
        (N, G) and (V, G): by how much the mean of the line's given controls is to be moved.
    """

    train: np.ndarray
    val: np.ndarray
    train_change: np.ndarray
    val_change: np.ndarray


def expect(expert: "Expert", pairs: Sequence[tuple[str, str]]) -> Expected:
    """Ask an expert for its training entries, each left out, and for validation ``pairs``."""
    progress = Progress("expert", 2, "parts of what is expected are done")
    with progress.stage("validation pairs"):
        estimates = [expert(*pair) for pair in pairs]
    with progress.stage("training pairs, each left out"):
        train = expert.leave_one_out()
    given = [expert.responses.control_mean[line] for line, _ in pairs]
    starts = [start(e.origin, mean) - mean for e, mean in zip(estimates, given, strict=True)]
    val = np.array([estimate.delta for estimate in estimates])
    return Expected(train, val, train + expert.left_out_starts(), val + np.array(starts))


def write_expected(expected: Expected, path: str | Path) -> None:
    """Write the four arrays as one ``.npz``; :func:`read_expected` has them back."""
    with atomic(path) as part, open(part, "wb") as file:
        np.savez(file, **expected._asdict())


def read_expected(path: str | Path) -> Expected:
    """Read what :func:`write_expected` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return Expected(**{name: file[name] for name in Expected._fields})
