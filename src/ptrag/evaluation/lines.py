"""A cell line as scoring knows it: its controls, and what its training pairs say."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptrag.base.moments import Moments, moments
from ptrag.metrics.ranks import SortedControls


@dataclass(frozen=True)
class Controls:
    """Control cells from which one side of a pair is measured, and against which it is tested.

    Attributes
    ----------
    moments
        Of the cells.
    cells
        (n, G) float32, read by the rank test alone.
    """

    moments: Moments
    cells: np.ndarray

    @cached_property
    def ranked(self) -> SortedControls:
        """The cells sorted gene by gene, once for all pairs."""
        return SortedControls.of(np.asarray(self.cells))

    @classmethod
    def of(cls, cells: np.ndarray) -> "Controls":
        """Sum up (n, G) ``cells``."""
        return cls(moments(cells), cells)

    def halves(self, rng: np.random.Generator) -> tuple["Controls", "Controls"]:
        """Deal the cells into two random halves."""
        order = rng.permutation(len(self.cells))
        one, other = (np.sort(half) for half in np.array_split(order, 2))
        return Controls.of(self.cells[one]), Controls.of(self.cells[other])


@dataclass(frozen=True)
class Line:
    """A scored cell line; what is fitted, is fitted on yardstick controls and training cells.

    Attributes
    ----------
    given, yardstick
        The halves of its controls (:mod:`ptrag.cells.controls`).
    every_control
        Both halves together, for the conventions of other packages.
    trained
        N names of its training perturbations.
    profiles
        (N, G) their mean profiles.
    bandwidth
        Median distance of its yardstick controls and training cells in the PCA.
    """

    given: Controls
    yardstick: Controls
    every_control: Controls
    trained: list[str]
    profiles: np.ndarray
    bandwidth: float

    @cached_property
    def centroid(self) -> np.ndarray:
        """(G,) float64, unweighted mean of :attr:`profiles`; NaN without any."""
        if len(self.profiles):
            return self.profiles.mean(axis=0)
        return np.full(len(self.given.moments.mean), np.nan)
