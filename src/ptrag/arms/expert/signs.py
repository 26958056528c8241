"""Local false-sign rates that leave-one-out has confirmed.

A prediction δ̂_g of standard deviation σ_g has confidence |δ̂_g| / σ_g. How often truth lies on
the predicted side at a given confidence is learnt from the entries that were left out, in bins of
equal numbers. Within a bin the measured deltas y, with the sign of the prediction, and their known
errors s are draws from a mixture

    y = θ + s ε,   θ ~ π_0 [0] + Σ_k π_k⁺ |N(0, τ_k²)| − Σ_k π_k⁻ |N(0, τ_k²)|,

whose weights are fitted by maximum likelihood with a prior count for π_0; the false-sign rate is
π_0 + Σ_k π_k⁻: the prediction is wrong where a gene moves the other way, or not at all. A normal
distribution about the prediction would be wrong where responses are sparse: it knows no gene that
stands still.

A bin's values are no independent draws: a gene whose level is wrong is wrong in all pairs of a
line, a pair with a wrong neighbour in many genes, and where whole lines were left out, what is
wrong of a line is wrong throughout. So the rate gets an upper limit, the highest of those clustered
by perturbation, by gene and, then, by line: as many standard errors more as Student's distribution
asks for with so many clusters. The rates are made to fall with confidence by isotonic regression.

Origin: false-sign rates and their mixture with both sides, Stephens (2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import ndtr, stdtrit

EDGES = np.array([*np.linspace(0, 0.7, 15), *(1 - 0.25 * 2.0 ** (-np.arange(13) / 2))])
"""Of bins of confidence, as shares of all values; narrower where a prediction is sure."""

SAMPLE = 4000  # values of a bin that its mixture is fitted to, at most
WIDTHS = np.array([1.0, 2.0, 4.0, 8.0])  # τ, in units of the bin's mean error
SURE = 0.975  # probability that a rate is kept: in 39 of 40 screens
STILL = 2.0  # prior count of genes that do not move
ROUNDS = 100


@dataclass(frozen=True)
class Signs:
    """The false-sign rate by confidence.

    Attributes
    ----------
    confidence
        (B,) medians of bins, rising.
    wrong
        (B,) rates, falling.
    """

    confidence: np.ndarray
    wrong: np.ndarray

    @classmethod
    def fitted(
        cls, predicted: np.ndarray, sd: np.ndarray, measured: np.ndarray, error: np.ndarray,
        drawn: Sequence[np.ndarray],
    ) -> "Signs":  # fmt: skip
        """Fit to entries that were left out.

        Parameters
        ----------
        predicted, sd
            (n, G) deltas and their standard deviations.
        measured, error
            (n, G) measured deltas and their standard errors.
        drawn
            (n,) numbers of what the entries were drawn by: perturbations, lines.
        """
        confidence = (np.abs(predicted) / sd).ravel()
        signed = (measured * np.sign(predicted)).ravel()
        error = error.ravel()
        row, gene = np.divmod(np.arange(len(confidence)), predicted.shape[1])
        clusters = np.array([gene, *(numbers[row] for numbers in drawn)])
        order = np.argsort(confidence, kind="stable")
        bins = np.split(order, (EDGES[1:] * len(order)).astype(int))
        bins = [rows[:: -(-len(rows) // SAMPLE)] for rows in bins if len(rows)]
        medians = np.array([np.median(confidence[rows]) for rows in bins])
        rates = np.array(
            [_upper(_wrong(signed[rows], error[rows]), clusters[:, rows]) for rows in bins]
        )
        sizes = np.array([len(rows) for rows in bins], float)
        return cls(medians, isotonic_regression(rates, weights=sizes, increasing=False).x)

    def rate(self, delta: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """(G,) probability that a gene does not move to the side that is predicted."""
        return np.interp(np.abs(delta) / sd, self.confidence, self.wrong)


def _upper(wrong: np.ndarray, clusters: np.ndarray) -> float:
    """Return the upper limit of the mean of (n,) ``wrong``, by (k, n) clusters; 1 for one alone."""
    mean, limit = wrong.mean(), 0.0
    for of in clusters:
        number = len(np.unique(of))
        if number < 2:
            return 1.0
        error = np.sqrt((np.bincount(of, wrong - mean) ** 2).sum() * number / (number - 1))
        limit = max(limit, mean + stdtrit(number - 1, SURE) * error / len(wrong))
    return float(min(1.0, limit))


def _wrong(signed: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(n,) probabilities that true values are not above zero."""
    if not error.any():
        return (signed <= 0).astype(float)
    error = np.maximum(error, 1e-3 * error.mean())
    likelihood = _likelihood(signed, error)
    weights = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    prior = np.zeros(len(weights))
    prior[0] = STILL
    for _ in range(ROUNDS):
        share = weights * likelihood
        share /= share.sum(axis=1, keepdims=True)
        weights = (share.sum(axis=0) + prior) / (len(signed) + STILL)
    share = weights * likelihood
    right = share[:, 1 : 1 + len(WIDTHS)].sum(axis=1) / share.sum(axis=1)
    # the prior counts, of genes that do not move, count here as they do in the weights
    return 1 - right * len(signed) / (len(signed) + STILL)


def _likelihood(signed: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(n, 1 + 2 K) density of each value, where it stands still, moves up, moves down."""
    width = WIDTHS * error.mean()
    variance = error[:, None] ** 2 + width**2
    log_still = -0.5 * (signed / error) ** 2 - np.log(error)
    log_moving = -0.5 * signed[:, None] ** 2 / variance - 0.5 * np.log(variance) + np.log(2)
    side = signed[:, None] * width / (error[:, None] * np.sqrt(variance))
    top = np.maximum(log_still, log_moving.max(axis=1))[:, None]
    still, moving = np.exp(log_still[:, None] - top), np.exp(log_moving - top)
    return np.concatenate([still, moving * ndtr(side), moving * ndtr(-side)], axis=1) + 1e-300
