"""What a closed-form arm says of a pair."""

from typing import NamedTuple

import numpy as np

SAME = 1e-5
"""Means of controls that differ by less, on the log1p scale, are means of the same cells."""


class Origin(NamedTuple):
    """Where a delta starts from, if not from the mean of the given controls.

    Attributes
    ----------
    given
        (G,) mean of the given controls, which the responses were measured from.
    error
        (G,) what the line's control profile is beyond that mean, as far as responses tell.
    shared
        (G,) response of all perturbations of the line that no delta counts.
    """

    given: np.ndarray
    error: np.ndarray
    shared: np.ndarray

    def of(self, mean: np.ndarray) -> np.ndarray:
        """(G,) from controls with this mean: the error of other controls is not known."""
        same = np.allclose(mean, self.given, rtol=0, atol=SAME)
        return mean + self.shared + (self.error if same else 0.0)


class Candidate(NamedTuple):
    """One retrieved thing and what it did.

    Attributes
    ----------
    perturbation
        Whose response or text it is.
    line
        Where the response was measured; empty for a perturbation of any line.
    similarity
        Of its text to the predicted perturbation's (cosine); NaN where there is none.
    weight
        Its coefficient ω in δ̂ = Σ ω δ.
    without
        (G,) the delta that would have been predicted, had it not been there.
    origin
        As in :class:`Estimate`, had it not been there.
    """

    perturbation: str
    line: str
    similarity: float
    weight: float
    without: np.ndarray
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """``GENE in line``, or the perturbation alone."""
        return f"{self.perturbation} in {self.line}" if self.line else self.perturbation


class Estimate(NamedTuple):
    """The predicted delta of a pair and what it rests on.

    Attributes
    ----------
    delta
        (G,) change of the mean profile against the line's control profile, or against
        ``origin``.
    candidates
        Best first; empty for arms that do not retrieve.
    note
        What the arm fell back on where its own way was closed; empty otherwise.
    sd
        (G,) standard deviation of the true delta about ``delta``; None where the arm knows none.
    wrong_sign
        (G,) local false-sign rate: probability that a gene does not move to the side of
        ``delta``; that it moves so is 1 minus this. None where the arm knows none.
    origin
        What ``delta`` is added to, so that the profile comes out; None: the mean of the given
        controls.
    """

    delta: np.ndarray
    candidates: tuple[Candidate, ...] = ()
    note: str = ""
    sd: np.ndarray | None = None
    wrong_sign: np.ndarray | None = None
    origin: Origin | None = None


def start(origin: Origin | None, mean: np.ndarray) -> np.ndarray:
    """Return the (G,) profile that a delta is added to, from controls with this mean."""
    return mean if origin is None else origin.of(mean)
