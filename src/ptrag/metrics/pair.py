"""One scored pair as the metrics see it: what they share is computed once, when first asked for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptrag.base.moments import Moments
from ptrag.metrics.degs import benjamini_hochberg
from ptrag.metrics.distribution import Distances


@dataclass(frozen=True)
class Line:
    """What scoring knows about a cell line; fitted on control and training cells alone.

    Attributes
    ----------
    control
        Moments of all its control cells.
    halves
        (2, G) mean profiles of two random halves of them.
    profiles
        (N, G) mean profiles of its training perturbations.
    bandwidth
        Median distance of its control and training cells in the PCA.
    """

    control: Moments
    halves: np.ndarray
    profiles: np.ndarray
    bandwidth: float

    @cached_property
    def centroid(self) -> np.ndarray:
        """(G,) unweighted mean of :attr:`profiles`; NaN without any."""
        if len(self.profiles):
            return self.profiles.mean(axis=0, dtype=np.float64)
        return np.full(len(self.control.mean), np.nan)


@dataclass(frozen=True)
class Compat:
    """What only the metrics of :mod:`ptrag.metrics.compat` need of the cells of a pair.

    Attributes
    ----------
    welch_p, rank_p
        (G,) p-values of all cells against the line's controls.
    fold
        (G,) ratio of expm1 of the means, pair to controls.
    """

    welch_p: np.ndarray
    rank_p: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class Profile:
    """The cells of a pair, summed up.

    Attributes
    ----------
    moments
        Over all genes.
    p
        (G,) p-values of the cells against the line's controls.
    cells
        (n, d) the cells in the PCA.
    compat
        Where those metrics are wanted.
    """

    moments: Moments
    p: np.ndarray
    cells: np.ndarray
    compat: Compat | None = None


@dataclass(frozen=True)
class ScoredPair:
    """Predicted and real cells of one pair.

    Attributes
    ----------
    line
        Of both.
    predicted, real
        Their profiles.
    targets
        Genes left out of metrics of deltas and of DEGs: the perturbed ones (or none).
    alpha
        Level of the adjusted p-values below which a gene is a DEG.
    max_degs
        At most so many DEGs (those of smallest p) for metrics of deltas on DEGs.
    """

    line: Line
    predicted: Profile
    real: Profile
    targets: np.ndarray
    alpha: float
    max_degs: int | None

    @cached_property
    def kept(self) -> np.ndarray:
        """(G,) bool, genes that are no target."""
        kept = np.ones(len(self.real.p), bool)
        kept[self.targets] = False
        return kept

    @cached_property
    def delta(self) -> np.ndarray:
        """Real profile minus the line's control profile, over the kept genes."""
        return (self.real.moments.mean - self.line.control.mean)[self.kept]

    @cached_property
    def predicted_delta(self) -> np.ndarray:
        """Predicted profile minus the same control profile, over the kept genes."""
        return (self.predicted.moments.mean - self.line.control.mean)[self.kept]

    @cached_property
    def significant(self) -> np.ndarray:
        """S_R: bool over the kept genes."""
        return benjamini_hochberg(self.real.p[self.kept]) < self.alpha

    @cached_property
    def predicted_significant(self) -> np.ndarray:
        """S_Q: bool over the kept genes."""
        return benjamini_hochberg(self.predicted.p[self.kept]) < self.alpha

    @cached_property
    def degs(self) -> np.ndarray:
        """Positions among the kept genes of the DEGs of smallest p, then of largest delta."""
        genes = np.flatnonzero(self.significant)
        order = np.lexsort((-np.abs(self.delta[genes]), self.real.p[self.kept][genes]))
        return np.sort(genes[order[: self.max_degs]])

    @cached_property
    def distances(self) -> Distances:
        """Pairwise distances in the PCA."""
        return Distances.of(self.predicted.cells, self.real.cells)
