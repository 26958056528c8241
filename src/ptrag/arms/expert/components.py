"""Directions of responses: where entries rise far above their noise, and where they do not.

Responses share few programmes. In units of each gene's noise, the deltas of N entries (less their
lines' means) have few principal components that noise alone would not make; along them an entry
is known well, and elsewhere hardly at all. So the Gaussian process of
:mod:`ptrag.arms.expert.posterior` is solved for each group of components with its own ratio of
noise to signal: δ̂ = Σ_c Π_c Σ_i ω_ci δ_i, with Π_c the projections onto the groups, Σ_c Π_c = 1.

With γ = G/N, noise alone makes components up to (1 + √γ)²; a measured one λ (in units of noise)
above it comes from a true one ℓ = ((λ + 1 − γ) + √((λ + 1 − γ)² − 4λ))/2 − 1, of which the
direction found has the share (1 − γ/ℓ²)/(1 + γ/ℓ).

Origin: the spiked covariance model, Baik & Silverstein (2006), Donoho, Gavish & Johnstone (2018).
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from ptrag.arms.expert.posterior import Kernel, Posterior, Variances
from ptrag.cells.responses import Responses

GROUPS = 2  # of components, by signal; what is left is one more
LEAST_NOISE = 0.0025  # of a gene, in units of the mean over genes
LEAST_SIGNAL = 0.01  # of what is left, in units of the mean over directions


@dataclass(frozen=True)
class Components:
    """C − 1 groups of orthonormal directions in units of noise, and what is left of G genes.

    Attributes
    ----------
    scale
        (G,) a gene's unit.
    directions
        C − 1 matrices (rank, G).
    reliability
        (C,) factor of the entries' squared standard errors: mean signal over the group's.
    share
        (C,) of all signal.
    """

    scale: np.ndarray
    directions: Sequence[np.ndarray]
    reliability: np.ndarray
    share: np.ndarray

    @classmethod
    def one(cls, n_genes: int) -> "Components":
        """Return the one group in which all directions are alike."""
        return cls(np.ones(n_genes), (), np.ones(1), np.ones(1))

    @classmethod
    def of(cls, responses: Responses) -> "Components":
        """Find the directions of training responses; one group where nothing rises above noise."""
        centred, own = responses.centred, responses.own_variance
        n_genes = centred.shape[1]
        n = len(centred) - len(np.unique(responses.line_of))
        if n < 2 or not own.any():
            return cls.one(n_genes)
        noise = own.mean(axis=0)
        scale = np.sqrt(np.maximum(noise, LEAST_NOISE * noise.mean()))
        squared_lengths, directions = principal(centred / scale)
        power = squared_lengths / n / (own / scale**2).mean()
        signal = spiked(power, n_genes / n)
        rank, total = np.count_nonzero(signal), power.sum() - n_genes
        ratio = (centred**2).sum() / n / own.mean() / n_genes - 1
        if rank == 0 or total <= 0 or ratio <= 0:
            return cls.one(n_genes)
        groups = np.array_split(np.arange(rank), min(GROUPS, rank))
        others = n_genes - rank
        left = max((total - signal.sum()) / max(others, 1), LEAST_SIGNAL * total / n_genes)
        each = np.array([*(signal[group].mean() for group in groups), left])
        share = each * [*map(len, groups), others]
        directions = [directions[group] for group in groups]
        return cls(scale, directions, ratio / each, share / share.sum())

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Return of (…, G) values what each group needs: coordinates (…, rank), the last all.

        A group has few directions: what is linear in the values need be solved for these alone.
        """
        return [*(values / self.scale @ directions.T for directions in self.directions), values]

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """(…, G) Σ_c Π_c x_c, each x_c as :meth:`split` has it for its group."""
        left = parts[-1] / self.scale
        total = left.copy()
        for coordinates, directions in zip(parts, self.directions, strict=False):
            total += (coordinates - left @ directions.T) @ directions
        return total * self.scale


def principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared singular values of (N, G), largest first, and (rank, G) right singular vectors.

    By the eigenvalues of the smaller product: many times faster than singular values, and as exact
    for components that rise above noise.
    """
    n, n_genes = values.shape
    if n < n_genes:
        squares, basis = np.linalg.eigh(values @ values.T)
        directions = basis.T @ values / np.sqrt(np.maximum(squares, 1e-300))[:, None]
    else:
        squares, basis = np.linalg.eigh(values.T @ values)
        directions = basis.T
    return np.maximum(squares, 0.0)[::-1], directions[::-1]


def spiked(power: np.ndarray, gamma: float) -> np.ndarray:
    """Signal along measured principal components, in units of noise; 0 where noise makes as much.

    Parameters
    ----------
    power
        λ, variances along the components in units of noise, largest first.
    gamma
        γ, dimensions over observations.
    """
    signal = np.zeros_like(power)
    above = power > (1 + np.sqrt(gamma)) ** 2
    middle = power[above] + 1 - gamma
    true = (middle + np.sqrt(middle**2 - 4 * power[above])) / 2 - 1
    signal[above] = true * (1 - gamma / true**2) / (1 + gamma / true)
    return signal


class ComponentPosterior:
    """What the entries say of pairs in one target line, each group of components by itself.

    As :class:`ptrag.arms.expert.posterior.Posterior`, with (C, N) coefficients.
    """

    def __init__(self, kernel: Kernel, variances: Variances, components: Components) -> None:
        self.components = components
        reliabilities = variances.reliability * components.reliability
        groups = zip(reliabilities, components.split(kernel.entries.values), strict=True)
        self._groups = [
            Posterior(kernel, replace(variances, reliability=reliability), values)
            for reliability, values in groups
        ]

    def of_line(self, line: str) -> "ComponentPosterior":
        """Return the same solution for another line; not where likeness of responses counts."""
        other = copy(self)
        other._groups = [group.of_line(line) for group in self._groups]
        return other

    def informed(self, rows: Sequence[int] | np.ndarray) -> bool:
        """Whether the other entries tell anything of these."""
        return all(group.informed(rows) for group in self._groups)

    def residuals(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, G) measured minus predicted deltas of entries, all of them left out together."""
        return self.components.join([group.residuals(rows) for group in self._groups])

    def left_out_variance(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n,) variance of the noise-free residuals, a mean over groups by their signal."""
        variances = [group.left_out_variance(rows) for group in self._groups]
        return self.components.share @ np.array(variances)

    def coefficients(self, perturbation: str) -> np.ndarray:
        """(C, N) ω of a pair of the target line; its own entry, if there is one, gets zero."""
        return np.array([group.coefficients(perturbation) for group in self._groups])

    def mix(self, omega: np.ndarray) -> np.ndarray:
        """(G,) Σ_c Π_c Σ_i ω_ci x_i of (C, N) ``omega`` and the entries' values x."""
        groups = zip(omega, self._groups, strict=True)
        return self.components.join([of_group @ group.values for of_group, group in groups])

    def variance(self, perturbation: str, omega: np.ndarray) -> float:
        """Variance of a pair's noise-free delta about the prediction with (C, N) ``omega``."""
        parts = zip(self._groups, omega, strict=True)
        return float(self.components.share @ [g.variance(perturbation, part) for g, part in parts])

    def deletion(self, perturbation: str, omega: np.ndarray, entry: int) -> np.ndarray:
        """(G,) change of the pair's prediction when one entry is not retrieved."""
        changes = [
            group.deletion(perturbation, part, entry)
            for group, part in zip(self._groups, omega, strict=True)
        ]
        return self.components.join(changes)
