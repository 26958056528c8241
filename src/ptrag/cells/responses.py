"""Measured responses: what a closed-form arm learns from and what is retrieved.

One entry per *training* pair; val and test pairs never enter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.base.moments import moments
from ptrag.base.names import CELL_LINE, N_CELLS, PAIR, PERTURBATION, Pair
from ptrag.base.random import keyed_rng, one_cycle
from ptrag.cells.controls import GIVEN

if TYPE_CHECKING:
    from ptrag.cells.store import CellStore
    from ptrag.splits.protocols import Split


@dataclass(frozen=True)
class Responses:
    """The deltas of N training pairs over G genes, with their precision.

    Attributes
    ----------
    genes
        G symbols.
    entries
        (N rows) cell_line, perturbation, n_cells.
    delta
        (N, G) float64: mean of the pair's cells minus mean of the line's given controls.
    se
        (N, G) float64: standard error of ``delta``, √(var_p/n_p + var_c/n_c) with unbiased
        variances; a pair of one cell is taken to vary as its line's controls do.
    control_mean, control_se
        Mean of each line's given controls, (G,), and its standard error √(var_c/n_c). The second
        is the part of ``se`` that all entries of a line have in common.
    protocol, target
        Those of the split: what "held out" means where these responses are learnt from.
    """

    genes: Sequence[str]
    entries: pd.DataFrame
    delta: np.ndarray
    se: np.ndarray
    control_mean: Mapping[str, np.ndarray]
    control_se: Mapping[str, np.ndarray]
    protocol: str = "unseen_combination"
    target: str | None = None

    @classmethod
    def measured(cls, store: "CellStore", split: "Split") -> "Responses":
        """Measure the training pairs of a split, and the given controls of every line."""
        control = {line: moments(store.controls(line, GIVEN)) for line in store.lines}
        pairs = split.pairs("train")
        delta = np.empty((len(pairs), store.n_genes))
        se = np.empty_like(delta)
        sizes = []
        for i, (line, perturbation) in enumerate(pairs):
            treated, untreated = moments(store.cells(line, perturbation)), control[line]
            variance = untreated.variance if treated.n == 1 else treated.variance
            delta[i] = treated.mean - untreated.mean
            se[i] = np.sqrt(variance / treated.n + untreated.variance / untreated.n)
            sizes.append(treated.n)
        entries = pd.DataFrame(pairs, columns=PAIR).assign(**{N_CELLS: sizes})
        return cls(
            store.genes,
            entries,
            delta,
            se,
            {line: known.mean for line, known in control.items()},
            {line: np.sqrt(known.variance / known.n) for line, known in control.items()},
            split.protocol,
            split.target,
        )

    def without(self, rows: Sequence[int] | np.ndarray) -> "Responses":
        """Return the responses without some entries: what one would have had without them."""
        keep = np.setdiff1d(np.arange(len(self.entries)), rows)
        entries = self.entries.iloc[keep].reset_index(drop=True)
        return replace(self, entries=entries, delta=self.delta[keep], se=self.se[keep])

    def with_line(self, line: str, mean: np.ndarray, se: np.ndarray) -> "Responses":
        """Return the responses with one more line, of which controls alone are known.

        Parameters
        ----------
        line
            Its name; none of :attr:`lines`.
        mean, se
            (G,) mean of its controls and the standard error of it.
        """
        return replace(
            self,
            control_mean={**self.control_mean, line: mean},
            control_se={**self.control_se, line: se},
        )

    def permuted(self, seed: int) -> "Responses":
        """Return the responses dealt anew to the perturbations of each line.

        The negative control of retrieving responses: the mean of a line stays what it was, and
        nothing that an entry says belongs to its perturbation any more. Deltas go with their
        errors and numbers of cells, in one cycle through a random order of the line's entries, so
        that no entry of a line with two or more keeps its own. The order is drawn from the line's
        perturbations, not from the order of the entries.
        """
        giver = np.arange(len(self.entries))
        for line in self.lines:
            rows = self.rows(line)
            rows = rows[np.argsort(self.perturbation_of[rows])]
            giver[rows] = one_cycle(keyed_rng("permuted responses", seed, line), rows)
        n_cells = self.entries[N_CELLS].to_numpy()[giver]
        entries = self.entries.assign(**{N_CELLS: n_cells})
        return replace(self, entries=entries, delta=self.delta[giver], se=self.se[giver])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, numbers in float64; :meth:`of_arrays` undoes it."""
        lines = self.lines
        return {
            "genes": np.array(self.genes, dtype=str),
            CELL_LINE: self.entries[CELL_LINE].to_numpy(dtype=str),
            PERTURBATION: self.entries[PERTURBATION].to_numpy(dtype=str),
            N_CELLS: self.entries[N_CELLS].to_numpy(np.int64),
            "delta": self.delta,
            "se": self.se,
            "lines": np.array(lines, dtype=str),
            "control_mean": np.array([self.control_mean[line] for line in lines]),
            "control_se": np.array([self.control_se[line] for line in lines]),
            "protocol": np.array(self.protocol),
            "target": np.array(self.target or ""),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Responses":
        """Return the responses of :meth:`arrays`; a missing name is a KeyError."""
        lines = arrays["lines"].tolist()
        return cls(
            arrays["genes"].tolist(),
            pd.DataFrame({key: arrays[key] for key in (*PAIR, N_CELLS)}),
            arrays["delta"],
            arrays["se"],
            dict(zip(lines, arrays["control_mean"], strict=True)),
            dict(zip(lines, arrays["control_se"], strict=True)),
            str(arrays["protocol"]),
            str(arrays["target"]) or None,
        )

    def write(self, path: str | Path) -> None:
        """Write everything to one ``.npz`` file: what is read back is equal."""
        with atomic(path) as part, open(part, "wb") as file:
            np.savez(file, **self.arrays())

    @classmethod
    def read(cls, path: str | Path) -> "Responses":
        """Read what :meth:`write` wrote; nothing in the file is executed."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls.of_arrays(dict(file))
        except (OSError, KeyError, ValueError, EOFError, BadZipFile):
            raise PtragError(f"{path}: holds no measured responses; delete it") from None

    @cached_property
    def pairs(self) -> list[Pair]:
        """The N pairs of the entries."""
        return [Pair(*pair) for pair in zip(*(self.entries[key] for key in PAIR), strict=True)]

    @property
    def lines(self) -> list[str]:
        """Cell lines with controls, sorted; a line may have no entry."""
        return sorted(self.control_mean)

    @cached_property
    def perturbations(self) -> list[str]:
        """Perturbations with an entry, sorted."""
        return sorted(set(self.entries[PERTURBATION]))

    @cached_property
    def line_of(self) -> np.ndarray:
        """(N,) number of each entry's line in :attr:`lines`."""
        return np.searchsorted(self.lines, self.entries[CELL_LINE].to_numpy(dtype=str))

    @cached_property
    def perturbation_of(self) -> np.ndarray:
        """(N,) number of each entry's perturbation in :attr:`perturbations`."""
        return np.searchsorted(self.perturbations, self.entries[PERTURBATION].to_numpy(dtype=str))

    @property
    def own_variance(self) -> np.ndarray:
        """(N, G) squared standard error of each entry's own cells, var_p/n_p."""
        control = np.array([self.control_se[line] for line in self.lines])
        return np.maximum(self.se**2 - control[self.line_of] ** 2, 0.0)

    @cached_property
    def centred(self) -> np.ndarray:
        """(N, G) delta less the mean over the entries of its line."""
        centred = self.delta.copy()
        for at in np.unique(self.line_of):
            rows = self.line_of == at
            centred[rows] -= centred[rows].mean(axis=0)
        return centred

    def columns(self, perturbation: str) -> np.ndarray:
        """Return the columns of a perturbation's genes, as far as they are measured."""
        genes = [self._column[gene] for gene in perturbation.split("+") if gene in self._column]
        return np.array(genes, dtype=int)

    @cached_property
    def _column(self) -> dict[str, int]:
        return {gene: i for i, gene in enumerate(self.genes)}

    def number(self, perturbation: str) -> int:
        """Return a perturbation's number in :attr:`perturbations`, -1 if it has no entry."""
        return self._perturbation_number.get(perturbation, -1)

    @cached_property
    def _perturbation_number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.perturbations)}

    @cached_property
    def _line_number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.lines)}

    def measures(self, perturbation: str, keep: np.ndarray) -> bool:
        """Whether the (N,) mask leaves an entry of a perturbation."""
        return bool(keep[self.rows(perturbation=perturbation)].any())

    def rows(self, line: str | None = None, perturbation: str | None = None) -> np.ndarray:
        """Return the rows of the entries of a line, of a perturbation, or of the one pair."""
        kept = np.ones(len(self.entries), bool)
        if line is not None:
            kept &= self.line_of == self._line_number[line]
        if perturbation is not None:
            kept &= self.perturbation_of == self.number(perturbation)
        return np.flatnonzero(kept)
