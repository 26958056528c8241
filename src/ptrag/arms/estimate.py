"""What a closed-form arm says of a pair."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


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
    """

    perturbation: str
    line: str
    similarity: float
    weight: float
    without: "np.ndarray"

    @property
    def name(self) -> str:
        """``GENE in line``, or the perturbation alone."""
        return f"{self.perturbation} in {self.line}" if self.line else self.perturbation


class Estimate(NamedTuple):
    """The predicted delta of a pair and what it rests on.

    Attributes
    ----------
    delta
        (G,) change of the mean profile against the line's controls.
    candidates
        Best first; empty for arms that do not retrieve.
    note
        What the arm fell back on where its own way was closed; empty otherwise.
    sd
        (G,) standard deviation of the true delta about ``delta``; None where the arm knows none.
    wrong_sign
        (G,) local false-sign rate: probability that a gene does not move to the side of
        ``delta``; that it moves so is 1 minus this. None where the arm knows none.
    """

    delta: "np.ndarray"
    candidates: tuple[Candidate, ...] = ()
    note: str = ""
    sd: "np.ndarray | None" = None
    wrong_sign: "np.ndarray | None" = None
