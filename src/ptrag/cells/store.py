"""``cells.h5ad``: one store of cells for everything downstream.

An ordinary AnnData file (scanpy opens it) with three promises besides: ``X`` is
contiguous uncompressed float32, so that it can be memory-mapped in place; rows are
sorted by (cell line, perturbation), so that a pair is one block; ``uns["pairs"]``
holds the offsets of these blocks. A line's block of controls has the given ones first, then the
yardsticks (:mod:`ptrag.cells.controls`). The same input gives the same bytes.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from ptrag.base.errors import PtragError, briefly, did_you_mean
from ptrag.base.names import CELL_LINE, CONTROL, PERTURBATION, TARGET_TOTAL, TOTAL
from ptrag.cells.controls import (
    ALL,
    GIVEN,
    YARDSTICK,
    Part,
)
from ptrag.cells.counts import count_units, to_counts

FORMAT = 2
_ROWS = 4096  # cells looked at together
N_GIVEN = "n_given"
"""Column of the table of pairs: the given controls of a line, 0 for a perturbation."""


class CellStore:
    """A ``cells.h5ad``, opened read-only; cheap to open and to pickle.

    Attributes
    ----------
    path
        The file.
    n_cells, n_genes
        The shape of :attr:`X`.
    simulated
        Whether the cells were made by the simulator.
    scale
        Scale of :attr:`X`, ``log1p``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with h5py.File(self.path) as file:
                facts = file["uns/ptrag"]
                if (made_in := int(facts["format"][()])) != FORMAT:
                    raise PtragError(
                        f"{path}: made in format {made_in}, this version reads {FORMAT}; delete it"
                    )
                self.scale = facts["scale"].asstr()[()]
                self.simulated = bool(facts["simulated"][()])
                self.source_sha256 = facts["source_sha256"].asstr()[()]
                self.n_cells, self.n_genes = (int(n) for n in file["X"].shape)
                self._offset = file["X"].id.get_offset()
        except FileNotFoundError:
            raise PtragError(f"{path}: there is no such file") from None
        except (OSError, KeyError) as error:
            raise PtragError(
                f"{path}: is no store of cells ({briefly(error)}); make it with the workflow"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])

    @cached_property
    def genes(self) -> list[str]:
        """Gene symbols, in the order of the columns of :attr:`X`."""
        return [str(gene) for gene in self._read("var").index]

    @cached_property
    def obs(self) -> pd.DataFrame:
        """All columns of all cells: cell_line, perturbation, batch, then the source's."""
        return self._read("obs")

    @cached_property
    def X(self) -> np.memmap:  # noqa: N802 - as in AnnData
        """Expression, (n_cells, n_genes) float32, memory-mapped."""
        return np.memmap(
            self.path, "<f4", mode="r", offset=self._offset, shape=(self.n_cells, self.n_genes)
        )

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair, controls too: its labels, start, stop, n_cells and n_given."""
        return self._read("uns/pairs").reset_index(drop=True)

    @cached_property
    def lines(self) -> list[str]:
        """Cell lines, sorted."""
        return sorted(set(self.pairs[CELL_LINE]))

    @cached_property
    def perturbations(self) -> list[str]:
        """Perturbations without the control, sorted."""
        return sorted(set(self.pairs[PERTURBATION]) - {CONTROL})

    @cached_property
    def batches(self) -> list[str]:
        """Batches, sorted; :attr:`batch_codes` counts along them."""
        return [str(name) for name in self._read("obs/batch/categories")]

    @cached_property
    def batch_codes(self) -> np.ndarray:
        """Batch of each cell, (n_cells,) int32 over :attr:`batches`."""
        return self._read("obs/batch/codes").astype(np.int32)

    def rows(self, line: str, perturbation: str) -> slice:
        """Return the rows of one pair; those of controls are :meth:`control_rows`.

        Raises
        ------
        PtragError
            If the line or the pair was not measured.
        """
        if perturbation == CONTROL:
            raise ValueError("rows of controls: say which, by control_rows")
        return self._block(line, perturbation)

    def _block(self, line: str, perturbation: str) -> slice:
        try:
            return self._blocks[line, perturbation]
        except KeyError:
            pass
        if line not in self.lines:
            raise PtragError(
                f"{self.path}: no cell line {line!r}; {did_you_mean(line, self.lines)}"
            )
        measured = [name for of, name in self._blocks if of == line]
        raise PtragError(
            f"{self.path}: no cells of {perturbation!r} in {line!r}; "
            f"{did_you_mean(perturbation, measured)}"
        )

    def cells(self, line: str, perturbation: str) -> np.ndarray:
        """Return the expression of a pair's cells, (n, n_genes) float32, read from disk."""
        return self._read_rows(self.rows(line, perturbation))

    def control_rows(self, line: str, part: Part) -> slice:
        """Return the rows of a line's controls: ``given``, ``yardstick`` or ``all``.

        Raises
        ------
        PtragError
            If the line is not there or has no such control.
        """
        block, given = self._block(line, CONTROL), self._n_given[line]
        rows = {
            GIVEN: slice(block.start, block.start + given),
            YARDSTICK: slice(block.start + given, block.stop),
            ALL: block,
        }[part]
        if rows.start == rows.stop:
            raise PtragError(
                f"{self.path}: {line!r} has no {part} control ({block.stop - block.start} controls "
                "in all); give it more, or change cells.yardstick and make the store again"
            )
        return rows

    def controls(self, line: str, part: Part) -> np.ndarray:
        """Return the expression of a line's controls, (n, n_genes) float32, a view."""
        return self.X[self.control_rows(line, part)]

    def control_mean(self, line: str, part: Part) -> np.ndarray:
        """Return the mean expression of a line's controls, (n_genes,) float64, computed once."""
        key = line, part
        if key not in self._control_means:
            self._control_means[key] = _mean(self.controls(line, part))
            self._control_means[key].flags.writeable = False  # it is handed out again
        return self._control_means[key]

    def mean(self, line: str, perturbation: str) -> np.ndarray:
        """Return the mean expression of a pair, (n_genes,) float64."""
        return _mean(self.cells(line, perturbation))

    def observed_delta(self, line: str, perturbation: str) -> np.ndarray:
        """(G,) measured delta of a pair: its mean less that of the yardstick controls."""
        return self.mean(line, perturbation) - self.control_mean(line, YARDSTICK)

    @cached_property
    def _control_means(self) -> dict[tuple[str, Part], np.ndarray]:
        return {}

    @cached_property
    def has_counts(self) -> bool:
        """Whether the source had counts, so that they can be had back."""
        with h5py.File(self.path) as file:
            config = json.loads(file["uns/ptrag/config"].asstr()[()])
            return TOTAL in file["obs"] or config.get("source", {}).get("scale") == "counts"

    def counts(self, rows: slice) -> np.ndarray:
        """Return the counts of some cells, (n, n_genes) float32 whole numbers."""
        return to_counts(self._read_rows(rows), self._units[rows])

    def _read_rows(self, rows: slice) -> np.ndarray:
        """Read some rows of X: pages of a mapped file would stay in memory when they are done."""
        n, width = rows.stop - rows.start, self.n_genes * np.dtype("<f4").itemsize
        offset = self._offset + rows.start * width
        values = np.fromfile(self.path, "<f4", n * self.n_genes, offset=offset)
        return values.reshape(n, self.n_genes)

    @cached_property
    def _units(self) -> np.ndarray:
        """(n_cells,) what a count of each cell is worth; from its values without a total."""
        with h5py.File(self.path) as file:
            if TOTAL in file["obs"]:
                return TARGET_TOTAL / np.maximum(file["obs"][TOTAL], 1.0)
        blocks = (self.X[a : a + _ROWS] for a in range(0, self.n_cells, _ROWS))
        return np.concatenate([count_units(block) for block in blocks])

    @cached_property
    def _blocks(self) -> dict[tuple[str, str], slice]:
        pairs = self.pairs
        return {
            (str(line), str(name)): slice(int(start), int(stop))
            for line, name, start, stop in zip(
                pairs[CELL_LINE], pairs[PERTURBATION], pairs["start"], pairs["stop"],
                strict=True,
            )
        }  # fmt: skip

    @cached_property
    def _n_given(self) -> dict[str, int]:
        controls = self.pairs[self.pairs[PERTURBATION] == CONTROL]
        return dict(zip(controls[CELL_LINE], controls[N_GIVEN].astype(int), strict=True))

    def _read(self, key: str) -> Any:
        with h5py.File(self.path) as file:
            return read_elem(file[key])


def _mean(cells: np.ndarray) -> np.ndarray:
    return np.asarray(cells).mean(axis=0, dtype=np.float64)
