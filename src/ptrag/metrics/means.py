"""Metrics of mean profiles and of deltas: vectors over genes, in float64.

What a prediction alone leaves undefined counts as no information, so that no arm
gains by being undefined; what the real cells leave undefined is NaN for every arm.
"""

import numpy as np

from ptrag.base.correlation import centred

ROUNDING = 1e-6
"""Relative length below which a difference of profiles is rounding: float32 has 6e-8 a value."""


def displacement(profile: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return ``profile`` − ``origin``, and exactly 0 where that is a matter of rounding.

    A difference with ‖profile − origin‖ ≤ :data:`ROUNDING` · ‖profile‖ has a direction, but the
    direction says nothing: without this rule the mean baseline would be scored by the rounding
    errors of its profile.

    Parameters
    ----------
    profile, origin
        (G,) mean expression.
    """
    difference = np.asarray(profile, np.float64) - origin
    if np.linalg.norm(difference) <= ROUNDING * np.linalg.norm(profile):
        return np.zeros_like(difference)
    return difference


def mse(predicted: np.ndarray, real: np.ndarray) -> float:
    """Mean over genes of (x − y)²; ideal 0, in squared units of the profiles."""
    difference = predicted - real
    return float(difference @ difference / len(difference)) if len(difference) else float("nan")


def weighted_mse(predicted: np.ndarray, real: np.ndarray, weights: np.ndarray) -> float:
    """Σ w (x − y)² / Σ w over genes; ideal 0. NaN where no gene has a weight.

    Parameters
    ----------
    predicted, real, weights
        (n,) values over genes; weights are not negative.
    """
    total = weights.sum()
    return float(weights @ (predicted - real) ** 2 / total) if total > 0 else float("nan")


def weighted_r2(predicted: np.ndarray, real: np.ndarray, weights: np.ndarray) -> float:
    """1 − Σ w (y − x)² / Σ w (y − ȳ)² with the weighted mean ȳ; ideal 1, no lower bound.

    NaN where ``real`` does not vary over the genes that have a weight.
    """
    total = weights.sum()
    if not total > 0:
        return float("nan")
    spread = weighted_mse(np.full_like(real, weights @ real / total), real, weights)
    return 1.0 - weighted_mse(predicted, real, weights) / spread if spread > 0 else float("nan")


def mae(predicted: np.ndarray, real: np.ndarray) -> float:
    """Mean over genes of |x − y|; ideal 0, in units of the profiles."""
    return float(np.abs(predicted - real).mean()) if len(real) else float("nan")


def mode_collapse(predicted: np.ndarray, real: np.ndarray, noise: np.ndarray) -> float:
    """How much less predictions differ from one another than real responses do.

    max(0, 1 − √(V̂ / V)) with V̂ = Σ_p ‖x_p − x̄‖² / (N − 1) and V = Σ_p ‖y_p − ȳ‖² / (P − 1) less the
    mean of the noise: the variance of true responses about their mean. 0: as different as real
    ones, or more; 1: one prediction for all. It says nothing of whether the differences are right.

    Parameters
    ----------
    predicted
        (N, G) predicted deltas of a line.
    real
        (P, G) observed deltas.
    noise
        (P,) squared error of each observed delta about its own truth, without that of the controls,
        which all share.

    Returns
    -------
    collapse
        NaN where there are fewer than two of either, or real responses do not differ beyond their
        noise.
    """
    if min(len(predicted), len(real)) < 2:
        return float("nan")
    shown, seen = (((x - x.mean(axis=0)) ** 2).sum() / (len(x) - 1) for x in (predicted, real))
    spread = seen - noise.mean()
    return float(max(0.0, 1.0 - np.sqrt(shown / spread))) if spread > 0 else float("nan")


def r2(predicted: np.ndarray, real: np.ndarray) -> float:
    """Coefficient of determination 1 − Σ(y−x)² / Σ(y−ȳ)² over genes; ideal 1, no lower bound.

    NaN where ``real`` is constant.
    """
    spread = centred(real)
    total = float(spread @ spread)
    return 1.0 - mse(predicted, real) * len(real) / total if total else float("nan")
