"""What a closed-form arm says of a pair."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Candidate(NamedTuple):
    """One retrieved thing and what it did.

    Attributes
    ----------
    name
        A perturbation, or ``GENE in line`` for one measured response.
    similarity
        Of its text to the predicted perturbation's (cosine); NaN where there is none.
    weight
        Its coefficient ω in δ̂ = Σ ω δ.
    without
        (G,) the delta that would have been predicted, had it not been there.
    """

    name: str
    similarity: float
    weight: float
    without: "np.ndarray"


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
    """

    delta: "np.ndarray"
    candidates: tuple[Candidate, ...] = ()
    note: str = ""
