"""A fitted simple arm: what it retrieves from, and how it reads a pair from that.

As one file: an ``.npz`` without pickles, arrays by the name of their part before a slash. Nothing
is fitted when it is read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ptrag.arms.estimate import Estimate
from ptrag.arms.simple.equation import Equation
from ptrag.arms.simple.ridge import Regression
from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.cells.responses import Responses
from ptrag.retrieval.index import Neighbours
from ptrag.retrieval.similarity import TextSimilarity


@dataclass(frozen=True)
class Fitted:
    """A fitted simple arm: (line, perturbation) → Estimate.

    Attributes
    ----------
    equation
        The arm's.
    responses
        N measured entries.
    text, neighbours
        Likeness of texts, stage one's candidates; None where the arm reads none.
    k
        Candidates that count.
    penalty
        λ of the ridge regression.
    """

    equation: Equation
    responses: Responses
    text: TextSimilarity | None = None
    neighbours: Neighbours | None = None
    k: int = 0
    penalty: float = 0.0

    def __call__(self, line: str, perturbation: str) -> Estimate:
        """Predict a pair."""
        return self.equation.estimate(self, line, perturbation)

    def knows(self, perturbation: str) -> bool:
        """Whether the arm has more to say of a perturbation than the mean of the line."""
        return self.equation.knows(self, perturbation)

    def with_line(self, line: str, mean: np.ndarray, se: np.ndarray) -> "Fitted":
        """Return the same with one more line, of which controls alone are known."""
        return replace(self, responses=self.responses.with_line(line, mean, se))

    def learn(self, names: Sequence[str], vectors: np.ndarray) -> None:
        """Take in the vectors of new perturbations (:meth:`TextSimilarity.learn`)."""
        if self.text is not None:
            self.text.learn(names, vectors)

    @cached_property
    def everything(self) -> np.ndarray:
        """(N,) a mask of all entries."""
        return np.ones(len(self.responses.entries), bool)

    @cached_property
    def regression(self) -> Regression:
        """The ridge regression from texts."""
        return Regression(self.responses, self.text, self.penalty)


def write_fitted(fitted: Fitted, path: str | Path) -> None:
    """Write a fitted arm; the same arm gives the same bytes."""
    parts = {"responses": fitted.responses, "text": fitted.text, "neighbours": fitted.neighbours}
    arrays = {
        f"{part}/{key}": values
        for part, of in parts.items()
        if of is not None
        for key, values in of.arrays().items()
    }
    about = json.dumps({"k": fitted.k, "penalty": float(fitted.penalty)})
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez(file, about=np.array(about), **arrays)


def read_fitted(path: str | Path, equation: Equation) -> Fitted:
    """Read what :func:`write_fitted` wrote of the arm with this equation.

    Raises
    ------
    PtragError
        If the file holds no fitted arm.
    """
    kinds = {"text": TextSimilarity, "neighbours": Neighbours}
    try:
        with np.load(path, allow_pickle=False) as file:
            about, arrays = json.loads(str(file["about"])), dict(file)
        parts: dict[str, dict[str, np.ndarray]] = {}
        for key, values in arrays.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = values
        read = {part: kind.of_arrays(parts[part]) for part, kind in kinds.items() if part in parts}
        return Fitted(equation, Responses.of_arrays(parts["responses"]), **read, **about)
    except (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile):
        raise PtragError(f"{path}: holds no fitted arm; fit it again") from None
