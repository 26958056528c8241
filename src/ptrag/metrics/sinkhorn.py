"""The Sinkhorn divergence as published tables of this field compute it."""

import numpy as np

from ptrag.metrics.distribution import Distances

BLUR = 0.05  # √ε at the end
SCALING = 0.5  # of √ε from one step to the next


def w2_halved(d: Distances, diameter: float) -> float:
    """½ W2², entropic and debiased; ideal 0, ≥ 0 up to convergence.

    S_ε = OT_ε(Q, R) − ½ OT_ε(Q, Q) − ½ OT_ε(R, R) for the cost ½‖x−y‖² by symmetric Sinkhorn
    iterations in the log domain, √ε shrinking from the diameter by ``SCALING`` to ``BLUR``, one
    iteration at each, then one extrapolation: the scheme and the defaults of geomloss (Feydy et
    al., AISTATS 2019). With so small an ε the value is about half the squared
    :func:`ptrag.metrics.distribution.w2`.

    Parameters
    ----------
    d
        Distances of the samples.
    diameter
        Diagonal of the box around all cells (:func:`diagonal`).
    """
    if diameter == 0:
        return 0.0
    costs = [0.5 * d.between**2, 0.5 * d.between.T**2, 0.5 * d.predicted**2, 0.5 * d.real**2]
    logs = [-np.log(cost.shape[1]) for cost in costs]
    partner = (1, 0, 2, 3)  # whose potential enters the update of each
    steps = _temperatures(diameter)
    potentials = [
        _softmin(steps[0], cost, np.full(cost.shape[1], log))
        for cost, log in zip(costs, logs, strict=True)
    ]

    def updated(epsilon: float) -> list[np.ndarray]:
        return [
            _softmin(epsilon, cost, log + potentials[other] / epsilon)
            for cost, log, other in zip(costs, logs, partner, strict=True)
        ]

    for epsilon in steps:
        new = updated(epsilon)
        potentials = [0.5 * (h + n) for h, n in zip(potentials, new, strict=True)]
    f, g, own_predicted, own_real = updated(steps[-1])
    return float((f - own_predicted).mean() + (g - own_real).mean())


def diagonal(*samples: np.ndarray) -> float:
    """Return the diagonal of the box around all cells of (n, d) samples."""
    return float(np.linalg.norm(np.ptp(np.concatenate(samples), axis=0)))


def _temperatures(diameter: float) -> np.ndarray:
    """ε of every step, squares of lengths."""
    shrinking = np.arange(2 * np.log(diameter), 2 * np.log(BLUR), 2 * np.log(SCALING))
    return np.concatenate([[diameter**2], np.exp(shrinking), [BLUR**2]])


def _softmin(epsilon: float, cost: np.ndarray, h: np.ndarray) -> np.ndarray:
    """−ε log Σ_j exp(h_j − C_ij / ε), per row."""
    exponent = cost * (-1 / epsilon)
    exponent += h
    top = exponent.max(axis=1, keepdims=True)
    exponent -= top
    np.exp(exponent, out=exponent)
    return -epsilon * (np.log(exponent.sum(axis=1)) + top[:, 0])
