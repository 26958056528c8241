"""Averaging of the weights along a training.

At a constant learning rate the weights wander around where they would settle. Their exponential
average (Polyak & Juditsky, SIAM J. Control Optim. 30 (1992), 838-855, in its forgetting form) is
what they wander around: it validates better than any of them, and its validation curve is smooth
enough to see a plateau, without a rate that falls by a schedule which must know the last step.
"""

import copy
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """w̄_t = d_t w̄_{t−1} + (1 − d_t) w_t with d_t = min(d, t/(t + 9)).

    The early d_t let the average forget the untrained weights.

    Parameters
    ----------
    network
        What is trained; the average starts as a copy of it.
    decay
        d: the average reaches back about 1/(1 − d) steps. 0 averages nothing.

    Attributes
    ----------
    network
        With the averaged weights; what is validated and kept.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.network = copy.deepcopy(network) if decay else network

    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` (from 1) updates."""
        if not self._decay:
            return
        share = 1 - min(self._decay, step / (step + 9))
        with torch.no_grad():
            for average, weight in zip(
                self.network.parameters(), network.parameters(), strict=True
            ):
                if weight.requires_grad:
                    average.lerp_(weight, share)


def averaging(training: dict[str, Any]) -> float:
    """Return the decay of a training: none for the published one."""
    return 0.0 if training["published"] else training["averaging"]
