"""What a process mixes: the measured deltas, or shrunken deviations of the same entries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptrag.cells.responses import Responses


@dataclass(frozen=True)
class Entries:
    """The N entries of a process.

    Attributes
    ----------
    responses
        Which pairs they are of.
    values
        (N, G) what is mixed.
    centred
        (N, G) values about their lines' means.
    noise
        (N,) squared standard error of an entry's values, a mean over genes.
    """

    responses: Responses
    values: np.ndarray
    centred: np.ndarray
    noise: np.ndarray

    @classmethod
    def measured(cls, responses: Responses) -> "Entries":
        """Return the measured deltas and the squared errors of the entries' own cells."""
        noise = responses.own_variance.mean(axis=1)
        return cls(responses, responses.delta, responses.centred, noise)

    @classmethod
    def shrunken(cls, responses: Responses, values: np.ndarray, noise: np.ndarray) -> "Entries":
        """Return deviations from the lines' means, as :mod:`ptrag.arms.expert.sparse` gives."""
        return cls(responses, values, values, noise)

    def without(self, rows: Sequence[int] | np.ndarray) -> "Entries":
        """Return the entries without some; measured ones are centred anew."""
        rest = self.responses.without(rows)
        if self.values is self.responses.delta:
            return Entries.measured(rest)
        keep = np.setdiff1d(np.arange(len(self.values)), rows)
        return Entries.shrunken(rest, self.values[keep], self.noise[keep])
