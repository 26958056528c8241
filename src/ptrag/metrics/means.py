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


def mae(predicted: np.ndarray, real: np.ndarray) -> float:
    """Mean over genes of |x − y|; ideal 0, in units of the profiles."""
    return float(np.abs(predicted - real).mean()) if len(real) else float("nan")


def r2(predicted: np.ndarray, real: np.ndarray) -> float:
    """Coefficient of determination 1 − Σ(y−x)² / Σ(y−ȳ)² over genes; ideal 1, no lower bound.

    NaN where ``real`` is constant.
    """
    spread = centred(real)
    total = float(spread @ spread)
    return 1.0 - mse(predicted, real) * len(real) / total if total else float("nan")
