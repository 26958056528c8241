"""Arms that need no training loop: fitted in one go, they predict a delta."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptrag.arms.arm import ClosedForm
from ptrag.arms.estimate import Estimate, start
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.prediction import GivenControls, Prediction, evidence_table


class ClosedFormPredictor:
    """A closed form, fitted for one kind of what is new about a pair or for several.

    Parameters
    ----------
    fits
        {protocol of :mod:`ptrag.splits.protocols`: what was fitted for it}. A pair is read by the
        one that its perturbation and line ask for, where there is more than one.
    """

    def __init__(self, fits: Mapping[str, ClosedForm]) -> None:
        self.fits = dict(fits)

    def knows(self, perturbation: str) -> bool:
        """Every closed form has a word on any perturbation: at worst the line's mean."""
        return True

    def informed(self, perturbation: str) -> bool:
        """Whether any fit has more to say than the mean of the line."""
        return any(fitted.knows(perturbation) for fitted in self.fits.values())

    def with_line(self, line: str, mean: np.ndarray, se: np.ndarray) -> "ClosedFormPredictor":
        """Return what predicts in one more line, of which controls alone are known."""
        return ClosedFormPredictor(
            {kind: fitted.with_line(line, mean, se) for kind, fitted in self.fits.items()}
        )

    def learn(
        self, embedding: Embedding, candidates: Mapping[str, tuple[list[str], np.ndarray]]
    ) -> None:
        """Take in vectors and candidates of new perturbations."""
        for fitted in self.fits.values():
            fitted.learn(embedding.names, embedding.vectors)
            if fitted.neighbours is not None:
                fitted.neighbours.learn(candidates)

    def fitted_for(self, line: str, perturbation: str) -> ClosedForm:
        """Return the fit for what is new about a pair; the only one where there is one."""
        any_fit = next(iter(self.fits.values()))
        if len(self.fits) == 1:
            return any_fit
        responses = any_fit.responses
        if responses.number(perturbation) < 0:
            kind = "unseen_perturbation"
        elif not len(responses.rows(line)):
            kind = "unseen_line"
        else:
            kind = "unseen_combination"
        return self.fits.get(kind, any_fit)

    def predict(
        self, controls: GivenControls, perturbation: str, n_cells: int | None = None
    ) -> Prediction:
        """Predict one pair: profile max(0, origin + δ̂), and cells of it."""
        estimate = self.fitted_for(controls.line, perturbation)(controls.line, perturbation)
        return prediction_of(estimate, controls, perturbation, n_cells)


def prediction_of(
    estimate: Estimate, controls: GivenControls, perturbation: str, n_cells: int | None
) -> Prediction:
    """Return the profile, cells and evidence of an estimated delta."""
    given = controls.mean
    origin = start(estimate.origin, given)
    rows = controls.drawn(perturbation, n_cells)
    cells = controls.cells[:0]
    if len(rows):
        cells = controls.emitted(origin - given + estimate.delta, perturbation, rows)
    profile = np.maximum(origin + estimate.delta, 0.0)
    changes: list[tuple[Any, ...]] = [
        (
            candidate.name, candidate.similarity, candidate.weight,
            np.linalg.norm(
                np.maximum(start(candidate.origin, given) + candidate.without, 0.0) - profile
            ),
        )
        for candidate in estimate.candidates
    ]  # fmt: skip
    evidence = evidence_table(changes, estimate.note)
    return Prediction(
        profile, profile - origin, cells, rows, evidence, estimate.sd, estimate.wrong_sign
    )
