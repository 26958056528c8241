"""One scored pair as the metrics see it: what they share is computed once, when first asked for.

A pair has two sides, the predicted and the real one. Each has a mean profile, cells, and the
controls that it is measured from, which are different cells for the two sides: no noise of one
control mean stands on both sides of a correlation.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptrag.base.moments import Moments
from ptrag.metrics.degs import benjamini_hochberg
from ptrag.metrics.distribution import Distances
from ptrag.metrics.means import displacement


@dataclass(frozen=True)
class Compat:
    """Cells as the metrics of :mod:`ptrag.metrics.compat` see them: against *all* controls.

    Attributes
    ----------
    control
        (G,) mean of all controls of the line, given and yardstick ones.
    welch_p, rank_p
        (G,) p-values of the cells against these controls.
    """

    control: np.ndarray
    welch_p: np.ndarray
    rank_p: np.ndarray


@dataclass(frozen=True)
class Side:
    """The predicted or the real side of a pair.

    Attributes
    ----------
    profile
        (G,) float64, mean expression: the profile that an arm predicts, the mean of real cells.
    control
        (G,) control profile that this side's delta is measured from: for a prediction the mean
        of the given controls, or what the arm made of it; for real cells that of the yardstick
        controls.
    moments
        Of the cells. The mean of an arm's cells fluctuates about its profile as a sample's does.
    p
        (G,) p-values of the cells against the same controls.
    coordinates
        (d,) the profile in the PCA.
    cells
        (n, d) the cells in the PCA.
    compat
        Where those metrics are wanted.
    """

    profile: np.ndarray
    control: np.ndarray
    moments: Moments
    p: np.ndarray
    coordinates: np.ndarray
    cells: np.ndarray
    compat: Compat | None = None

    @cached_property
    def delta(self) -> np.ndarray:
        """(G,) profile minus control profile, zero where that is rounding alone."""
        return displacement(self.profile, self.control)


@dataclass(frozen=True)
class ScoredPair:
    """The predicted side of one pair set against the real one.

    Attributes
    ----------
    predicted, real
        The sides.
    centroid
        (G,) unweighted mean of the profiles of the line's training pairs; NaN without any.
    bandwidth
        Median distance of training cells and yardstick controls of the line in the PCA.
    weights
        (G,) how far each gene responds to perturbations, from training pairs; 0 without any.
    targets
        Genes left out of metrics of deltas and of DEGs: the perturbed ones (or none).
    alpha
        Level of the adjusted p-values below which a gene is a DEG.
    max_degs
        At most so many DEGs (those of smallest p) for metrics of deltas on DEGs.
    """

    predicted: Side
    real: Side
    centroid: np.ndarray
    bandwidth: float
    weights: np.ndarray
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
        """Observed delta over the kept genes."""
        return self.real.delta[self.kept]

    @cached_property
    def predicted_delta(self) -> np.ndarray:
        """Predicted delta over the kept genes."""
        return self.predicted.delta[self.kept]

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
