"""How far truth may be from a prediction, gene by gene.

The squared leave-one-out residuals, less the noise of the measured entries themselves, are modelled
with two terms: what a gene varies beyond prediction, v_g, times how little is known of the pair,
h (variance of the process for this pair over its mean), and a share of what is predicted beyond the
line's mean, squared: bold predictions err more.

    Var(δ_g − δ̂_g) = α h v_g + β x_g² + c_g²,

with α, β ≥ 0 by least squares over entries and genes, and c_g² the variance of the line's level
(:mod:`ptrag.arms.expert.level`), which no leaving out can show. v_g is a gene's mean squared
residual less noise, shrunk towards the mean over genes by its standard error.

Origin: method-of-moments variances with empirical-Bayes shrinkage as in DerSimonian & Laird (1986).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

LEAST = 0.01  # variance of a gene, in units of the mean over genes


@dataclass(frozen=True)
class Spread:
    """The fitted model of squared errors.

    Attributes
    ----------
    gene
        (G,) α v_g, squared units of delta.
    growth
        β.
    usual
        Mean variance of the process over the entries left out: h is a pair's over this.
    """

    gene: np.ndarray
    growth: float
    usual: float

    @classmethod
    def fitted(
        cls, beyond: np.ndarray, missing: np.ndarray, noise: np.ndarray, variance: np.ndarray
    ) -> "Spread":
        """Fit to leave-one-out predictions.

        Parameters
        ----------
        beyond, missing
            (n, G) predicted and measured deltas, both less the line's mean.
        noise
            (n, G) squared standard errors of the entries' own cells.
        variance
            (n,) of the process for each entry left out; NaN where it is not known.
        """
        excess = (missing - beyond) ** 2 - noise
        gene = _shrunk(excess)
        known = np.isfinite(variance)
        usual = float(variance[known].mean()) if known.any() else np.nan
        relative = _relative(variance, usual)
        columns = np.stack([np.outer(relative, gene).ravel(), (beyond**2).ravel()], axis=1)
        (alpha, growth), _ = nnls(columns, excess.ravel())
        # all residuals within their noise: what is left unknown is not nothing
        alpha = max(alpha, LEAST)
        return cls(alpha * gene, float(growth), usual)

    def sd(self, beyond: np.ndarray, variance: float | np.ndarray, level: np.ndarray) -> np.ndarray:
        """(…, G) standard deviation of a pair's true delta about the prediction.

        Parameters
        ----------
        beyond
            (…, G) predicted delta less the line's mean.
        variance
            Of the process for this pair, or (…, 1) of several; the usual one where it is NaN.
        level
            (…, G) variance of the line's level.
        """
        relative = _relative(variance, self.usual)
        return np.sqrt(relative * self.gene + self.growth * beyond**2 + level)


def _relative(variance: float | np.ndarray, usual: float) -> np.ndarray:
    """Return h, variances over the usual one; 1 where either is not known."""
    if not usual > 0:
        return np.ones(np.shape(variance))
    return np.where(np.isfinite(variance), variance / usual, 1.0)


def _shrunk(excess: np.ndarray) -> np.ndarray:
    """(G,) mean of (n, G) squared residuals less noise, shrunk to the mean over genes."""
    n = len(excess)
    mean = excess.mean(axis=0)
    centre = max(mean.mean(), 0.0)
    if n < 2:
        return np.full(excess.shape[1], max(centre, np.finfo(float).tiny))
    error = excess.var(axis=0, ddof=1) / n
    between = max(0.0, mean.var() - error.mean())
    share = between / (between + error) if between > 0 else np.zeros_like(error)
    shrunk = centre + share * (mean - centre)
    return np.maximum(shrunk, max(LEAST * centre, np.finfo(float).tiny))
