"""What scale a user's matrix is on: counts, log1p of normalised counts, or neither."""

from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse as sp

from ptrag.base.errors import PtragError
from ptrag.cells.matrix import Block
from ptrag.cells.scale import HIGHEST_LOG1P, NORMALISE

Scale = Literal["counts", "log1p"]
DECLARED = ("auto", "counts", "log1p")
"""What a user may say of a matrix; ``auto``: it is recognised."""

TARGET = 1e4
"""Counts of a cell after normalisation, before log1p."""


class Recogniser:
    """Looks at the blocks of one matrix; all of them must be on one scale.

    Parameters
    ----------
    path, key
        The file and the matrix, for messages.
    declared
        One of :data:`DECLARED`.
    """

    def __init__(self, path: str | Path, key: str, declared: str = "auto") -> None:
        self.where, self.declared = f"{path}: {key}", declared
        self.scale: Scale | None = None

    def check(self, block: Block) -> Scale:
        """Return the scale of a block, (n, genes).

        Raises
        ------
        PtragError
            For values that are on neither scale, or on another than before or than declared.
        """
        values = np.asarray(block.data if sp.issparse(block) else block).ravel()
        if values.size:
            scale = self._scale_of(values)
            if self.scale is not None and scale is not None and scale != self.scale:
                raise PtragError(
                    f"{self.where} holds counts in some cells and logarithms in others; give one "
                    "scale"
                )
            self.scale = self.scale or scale
        return self.scale or ("log1p" if self.declared == "auto" else self.declared)

    def _scale_of(self, values: np.ndarray) -> Scale | None:
        if not np.isfinite(values).all():
            raise PtragError(
                f"{self.where} has missing or infinite values (NaN); give counts or log1p "
                "expression, with 0 where nothing was counted"
            )
        low, high = float(values.min()), float(values.max())
        if low < 0:
            raise PtragError(
                f"{self.where} has negative values (down to {low:.3g}): scaled or regressed "
                "expression cannot be taken back; give raw counts, or log1p of counts per 10,000"
            )
        if high == 0:
            return None
        whole = bool((values == np.rint(values)).all())
        if whole and high > 1:
            return self._agreed("counts", f"whole numbers up to {high:g}")
        if high > HIGHEST_LOG1P:
            raise PtragError(
                f"{self.where} has values up to {high:.4g} that are no whole numbers: neither "
                "counts nor logarithms (normalised, but not log1p?); give raw counts, or apply "
                "scanpy.pp.log1p"
            )
        if whole:  # zeros and ones: counts of a shallow sample, or anything
            return self.declared if self.declared != "auto" else "counts"
        return self._agreed("log1p", f"fractions up to {high:.4g}")

    def _agreed(self, scale: Scale, values: str) -> Scale:
        if self.declared not in ("auto", scale):
            remedy = NORMALISE if scale == "counts" else "give the raw counts"
            raise PtragError(
                f"{self.where} is declared {self.declared} but holds {values}, as {scale} does; "
                f"declare {scale}, leave the declaration away, or {remedy}"
            )
        return scale


def to_log1p(block: Block, columns: np.ndarray) -> np.ndarray:
    """Return some columns of counts as log1p of counts per 10,000, (n, columns) float32.

    A cell is divided by its sum over *all* genes; one without counts stays zero.
    """
    totals = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
    factors = (TARGET / np.where(totals == 0, 1.0, totals)).astype(np.float32)
    return np.log1p(dense(block, columns) * factors[:, None])


def dense(block: Block, columns: np.ndarray) -> np.ndarray:
    """Return some columns of a block, (n, columns) float32."""
    part = block[:, columns]
    return np.asarray(part.toarray() if sp.issparse(part) else part, np.float32)
