"""The count model of a line's control cells: rates, dispersion, and what a change does to a count.

One count of cell s is worth u_s before the logarithm (:mod:`ptrag.cells.counts`). Its rates are
λ_sg ~ Gamma(shape a_g, mean p_g / u_s) and its counts k_sg ~ Poisson(λ_sg), so that p_g is the mean
expression of the gene and 1/a_g its dispersion. A change of expression by a factor r multiplies the
rate. Given the counts of a cell,

    r ≤ 1:  k' ~ Binomial(k, r)
    r > 1:  k' = k + Poisson((r − 1) λ),  λ | k ~ Gamma(shape a + k, scale θ),  θ = p / (a u + p),

and in either case k' is negative binomial with mean r p / u and the dispersion of the line.
"""

from typing import NamedTuple

import numpy as np

LEAST_DISPERSION, MOST_DISPERSION = 1e-3, 1e2


class CountModel(NamedTuple):
    """Expression and dispersion of the genes of a line.

    Attributes
    ----------
    mean
        (G,) p, mean expression before the logarithm; of a gene without counts, what half a count
        in all cells would give.
    shape
        (G,) a, one over the dispersion.
    """

    mean: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, units: np.ndarray) -> "CountModel":
        """Estimate the model by moments.

        The dispersion of a gene is Σ_s ((k − μ)² − μ) / Σ_s μ², μ = p / u, drawn towards that of
        all genes as far as its sampling variance (2 + 1/μ̄)/n exceeds what genes differ by.

        Parameters
        ----------
        counts, units
            (n, G) counts and (n,) units of control cells.
        """
        n, depth = len(counts), 1 / units
        mean = np.maximum(counts.sum(axis=0), 0.5) / depth.sum()
        excess = np.zeros(len(mean))
        for row, of_cell in zip(counts, depth, strict=True):
            expected = mean * of_cell
            excess += (row - expected) ** 2 - expected
        own = excess / ((depth @ depth) * mean**2)
        error = (2.0 + n / (mean * depth.sum())) / n
        common = np.sum(own / error) / np.sum(1 / error)
        between = np.sum(((own - common) ** 2 - error) / error**2) / np.sum(error**-2)
        between = max(between, 0.0)
        dispersion = common + between / (between + error) * (own - common)
        return cls(mean, 1 / np.clip(dispersion, LEAST_DISPERSION, MOST_DISPERSION))

    def theta(self, units: np.ndarray) -> np.ndarray:
        """Return the scale θ of the rates given the counts, for genes and units alike in shape."""
        return self.mean / (self.shape * units + self.mean)

    def changed(
        self, counts: np.ndarray, units: np.ndarray, factor: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw the counts of cells after a change.

        Parameters
        ----------
        counts, units
            (n, G) int64 counts and (n,) units.
        factor
            (G,) r; 1 leaves the counts of a gene as they are.
        rng
            Source of all randomness.
        """
        new = counts.copy()
        falls, rises = np.flatnonzero(factor < 1), np.flatnonzero(factor > 1)
        new[:, falls] = rng.binomial(counts[:, falls], factor[falls])
        of_rising = CountModel(self.mean[rises], self.shape[rises])
        rate = rng.standard_gamma(of_rising.shape + counts[:, rises])
        rate *= of_rising.theta(units[:, None]) * (factor[rises] - 1)
        new[:, rises] += rng.poisson(rate)
        return new
