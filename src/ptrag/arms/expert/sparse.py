"""Adaptive shrinkage: which measured deviations are real, by how far they rise above their noise.

A perturbation moves few genes much. A deviation d of an entry from its line's mean, with noise
variance s², is taken as a draw from a mixture of normals of many widths, in units of the noise:

    d = θ + s ε,   θ ~ Σ_k π_k N(0, τ_k² s²),   ε ~ N(0, 1),

with π by maximum likelihood over all entries and genes. Its posterior mean is θ̂ = g(d²/s²) d with

    g(z²) = Σ_k r_k(z²) τ_k² / (1 + τ_k²),   r_k(z²) ∝ π_k N(z; 0, 1 + τ_k²):

what lies within the noise vanishes, what is far above it stays. A linear method cannot do both.

Origin: adaptive shrinkage, Stephens (2017), with α = 1 (widths in units of noise).
"""

from dataclasses import dataclass

import numpy as np

from ptrag.arms.expert.entries import Entries
from ptrag.base.names import N_CELLS
from ptrag.cells.responses import Responses

WIDTHS = np.array([0.0, *(4.0**k for k in range(-2, 7))])  # τ²
FACTORS = WIDTHS / (1 + WIDTHS)
BINS = 2000  # of z² by order, one value standing for each
ROUNDS = 200
SETTLED = 1e-6  # largest change of a weight in the last round
LEAST_NOISE = 0.001  # of a value, in units of the mean
BLOCK = 256  # entries at a time


def shrunken(responses: Responses) -> Entries | None:
    """Return the deviations of the entries from their lines' means, shrunken; None without noise.

    The noise of a gene is its variance between the cells of a pair, pooled over pairs, over the
    entry's number of cells. That of a shrunken value is g² s².
    """
    a_cell = variance_of_a_cell(responses)
    if not a_cell.any():
        return None
    noise = a_cell / responses.entries[N_CELLS].to_numpy(float)[:, None]
    noise = np.maximum(noise, LEAST_NOISE * noise.mean())
    squares = responses.centred**2 / noise
    prior = Prior.fitted(squares.ravel())
    values, left = np.empty_like(squares), np.empty(len(squares))
    for start in range(0, len(squares), BLOCK):
        block = slice(start, start + BLOCK)
        factor = prior(squares[block])
        values[block] = factor * responses.centred[block]
        left[block] = (factor**2 * noise[block]).mean(axis=1)
    return Entries.shrunken(responses, values, left)


def variance_of_a_cell(responses: Responses) -> np.ndarray:
    """(G,) variance of a gene between the cells of a pair, pooled over pairs.

    That of one pair's few cells is often zero, where a gene is rarely counted.
    """
    n_cells = responses.entries[N_CELLS].to_numpy(float)[:, None]
    return (responses.own_variance * n_cells).mean(axis=0)


@dataclass(frozen=True)
class Prior:
    """The mixture: (K,) weights π of :data:`WIDTHS`."""

    weights: np.ndarray

    @classmethod
    def fitted(cls, squares: np.ndarray, counts: np.ndarray | None = None) -> "Prior":
        """Fit π by expectation maximisation, on the means of bins of like values.

        Parameters
        ----------
        squares
            (n,) z².
        counts
            (n,) how much each of them counts; alike unless given.
        """
        counts = np.ones(len(squares)) if counts is None else counts
        order = np.argsort(squares, kind="stable")
        edges = np.linspace(0, len(squares), min(BINS, len(squares)) + 1).astype(int)[:-1]
        of_bin = np.add.reduceat(counts[order], edges)
        likelihood = _likelihood(np.add.reduceat((counts * squares)[order], edges) / of_bin)
        share_of_bin = of_bin / of_bin.sum()
        weights = np.full(len(WIDTHS), 1 / len(WIDTHS))
        for _ in range(ROUNDS):
            share = weights * likelihood
            share /= share.sum(axis=-1, keepdims=True)
            before, weights = weights, share_of_bin @ share
            if np.abs(weights - before).max() < SETTLED:
                break
        return cls(weights)

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        """Return the factor g of z², of the same shape."""
        return self._share(squares) @ FACTORS

    def variance(self, squares: np.ndarray) -> np.ndarray:
        """Return the posterior variance of θ, in units of s², of the shape of z²."""
        share = self._share(squares)
        mean = share @ FACTORS
        return mean + squares * (share @ FACTORS**2 - mean**2)

    def _share(self, squares: np.ndarray) -> np.ndarray:
        """(…, K) r_k of z²."""
        share = self.weights * _likelihood(squares)
        return share / share.sum(axis=-1, keepdims=True)


def _likelihood(squares: np.ndarray) -> np.ndarray:
    """(…, K) density of z for each width, up to a factor that all widths share."""
    spread = 1 + WIDTHS
    log = -0.5 * (squares[..., None] / spread + np.log(spread))
    return np.exp(log - log.max(axis=-1, keepdims=True))
