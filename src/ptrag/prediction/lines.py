"""The lines that a bundle was made with: their given control profiles and what was measured there.

By them a user's own controls are placed, missing genes are filled, and what no arm knows is
predicted by the mean response of a line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.correlation import pearson
from ptrag.base.names import CELL_LINE, PERTURBATION, Pair
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore

MEASURED_HERE = "measured in this line"
MEASURED_ELSEWHERE = "measured elsewhere"
NEVER = "never perturbed"
FALLBACK = "fallback"
LEVELS = (MEASURED_HERE, MEASURED_ELSEWHERE, NEVER, FALLBACK)
"""What a prediction rests on; ``fallback`` is the mean response of the line alone."""


class Place(NamedTuple):
    """Where a line stands among those of a bundle.

    Attributes
    ----------
    line
        Its name.
    known
        Whether the bundle has it.
    correlation
        {line of the bundle: Pearson correlation of the control profiles}, best first.
    """

    line: str
    known: bool
    correlation: dict[str, float]

    def __str__(self) -> str:
        """One sentence for a person."""
        nearest, best = next(iter(self.correlation.items()))
        others = ", ".join(f"{of} {r:.3f}" for of, r in list(self.correlation.items())[1:4])
        near = (
            f"control profile nearest to {nearest} (r = {best:.3f}{'; ' + others * bool(others)})"
        )
        if not self.known:
            return f"line {self.line!r} is none of the bundle's: {near}"
        if nearest != self.line:
            return f"line {self.line!r} is the bundle's, but its {near}: is the name right?"
        return f"line {self.line!r} is the bundle's: {near}"


@dataclass(frozen=True)
class Lines:
    """L lines and G genes.

    Attributes
    ----------
    names
        Lines, sorted.
    control_mean, control_se
        (L, G) mean of the given controls on the log1p scale, and its standard error.
    response
        (L, G) mean delta of a line's training pairs; that of all where it has none.
    total
        (L,) sum over genes of the expm1 of the control profile: the scale of the line's cells.
    trained
        Training pairs.
    """

    names: list[str]
    control_mean: np.ndarray
    control_se: np.ndarray
    response: np.ndarray
    total: np.ndarray
    trained: list[Pair]

    @classmethod
    def of(cls, responses: Responses, store: CellStore) -> "Lines":
        """Take the lines of measured responses, and the totals of the controls they rest on."""
        names = responses.lines
        overall = responses.delta.mean(axis=0) if len(responses.delta) else 0.0
        response = np.zeros((len(names), len(responses.genes)))
        for number, name in enumerate(names):
            rows = responses.rows(name)
            response[number] = responses.delta[rows].mean(axis=0) if len(rows) else overall
        mean, se = (
            np.array([of[name] for name in names])
            for of in (responses.control_mean, responses.control_se)
        )
        total = [total_of_cells(store.controls(name, "given")) for name in names]
        return cls(names, mean, se, response, np.array(total), responses.pairs)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name; :meth:`of_arrays` undoes it."""
        return {
            "names": np.array(self.names, dtype=str),
            "control_mean": self.control_mean,
            "control_se": self.control_se,
            "response": self.response,
            "total": self.total,
            CELL_LINE: np.array([pair.cell_line for pair in self.trained], dtype=str),
            PERTURBATION: np.array([pair.perturbation for pair in self.trained], dtype=str),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Lines":
        """Return the lines of :meth:`arrays`; a missing name is a KeyError."""
        labels = (arrays[key].tolist() for key in (CELL_LINE, PERTURBATION))
        return cls(
            arrays["names"].tolist(), arrays["control_mean"], arrays["control_se"],
            arrays["response"], arrays["total"],
            [Pair(*pair) for pair in zip(*labels, strict=True)],
        )  # fmt: skip

    @property
    def mean_profile(self) -> np.ndarray:
        """(G,) mean over lines of the control profiles: what a missing gene is filled with."""
        return self.control_mean.mean(axis=0)

    @cached_property
    def perturbations(self) -> list[str]:
        """Perturbations that were trained on in any line, sorted."""
        return sorted({pair.perturbation for pair in self.trained})

    def mean_response(self, line: str) -> np.ndarray:
        """(G,) mean delta of a line's training pairs; the mean over lines for another line."""
        if line in self.names:
            return self.response[self.names.index(line)]
        return self.response.mean(axis=0)

    def level(self, pair: Pair) -> str:
        """Return what is known of a pair: one of :data:`LEVELS` but the last."""
        if pair in self._trained:
            return MEASURED_HERE
        return MEASURED_ELSEWHERE if pair.perturbation in self._measured else NEVER

    def place(self, line: str, profile: np.ndarray, genes: Sequence[int] | None = None) -> Place:
        """Compare a (G,) control profile with those of the lines.

        Parameters
        ----------
        line
            What it is called.
        profile
            Mean of its control cells.
        genes
            Columns that count; None: all.
        """
        columns = slice(None) if genes is None else genes
        r = {
            name: float(pearson(profile[columns], own[columns]))
            for name, own in zip(self.names, self.control_mean, strict=True)
        }
        return Place(line, line in self.names, dict(sorted(r.items(), key=lambda item: -item[1])))

    def placed(self, place: Place) -> pd.DataFrame:
        """Return a place as a table: line of the bundle, correlation."""
        return pd.DataFrame({"line": list(place.correlation), "r": place.correlation.values()})

    @cached_property
    def _trained(self) -> frozenset[Pair]:
        return frozenset(self.trained)

    @cached_property
    def _measured(self) -> frozenset[str]:
        return frozenset(self.perturbations)


def total_of_cells(cells: np.ndarray) -> float:
    """Return the median over (n, G) log1p cells of the sum of expm1."""
    return float(np.median(np.expm1(np.asarray(cells, np.float64)).sum(axis=1)))
