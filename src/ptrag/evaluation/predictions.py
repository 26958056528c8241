"""A run's two outputs as scoring reads them: predicted profiles, and predicted cells.

``profiles.h5ad`` has one row per pair, its delta in a layer, ``predictions.h5ad`` one row per
cell; both name cell_line and perturbation in obs, have the store's genes in var and declare their
scale in uns.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from ptrag.base.errors import PtragError
from ptrag.base.names import CELL_LINE, DELTA, PAIR, PERTURBATION, TARGET_TOTAL, TOTAL, Pair
from ptrag.cells.counts import to_counts
from ptrag.cells.store import CellStore


class PredictedMean(NamedTuple):
    """The predicted profile of a pair, and the predicted delta, both (G,) float64."""

    profile: np.ndarray
    delta: np.ndarray

    @property
    def control(self) -> np.ndarray:
        """(G,) the control profile that the delta is measured from."""
        return self.profile - self.delta


class Prediction(NamedTuple):
    """What was predicted of one pair.

    Attributes
    ----------
    cells
        (n, G) float32.
    mean
        Profile and delta; None where the cells are all that there is: then their mean stands for
        the profile, and the delta is measured from controls.
    totals
        (n,) counts of each cell over all genes, where the cells were predicted as counts.
    """

    cells: np.ndarray
    mean: PredictedMean | None
    totals: np.ndarray | None

    @property
    def counts(self) -> np.ndarray:
        """(n, G) counts of the cells, as a metric on counts takes them.

        Those that were predicted. A prediction on the log1p scale alone has no depth: expm1 of its
        values stands for its counts, cells of one total with fractions kept, since rounding would
        lose what is expressed in less than every other cell.
        """
        if self.totals is None:
            return np.expm1(self.cells, dtype=np.float64)
        return to_counts(self.cells, TARGET_TOTAL / np.maximum(self.totals, 1.0))


class Predictions:
    """What a run predicted, read pair by pair.

    Attributes
    ----------
    path
        The file of cells.
    rows
        Rows of the cells of each pair.
    """

    def __init__(
        self, path: str | Path, store: CellStore, profiles: Mapping[Pair, PredictedMean] | None
    ) -> None:
        """Open ``predictions.h5ad``.

        Parameters
        ----------
        path
            The file.
        store
            The real cells.
        profiles
            What :func:`read_profiles` returned; None for cells that were predicted elsewhere.

        Raises
        ------
        PtragError
            If the file is damaged, of other genes, of another scale, or of other pairs than
            ``profiles``.
        """
        self.path, self._profiles = Path(path), profiles
        obs = _checked_obs(path, store)
        self._totals = obs[TOTAL].to_numpy(np.float64) if TOTAL in obs else None
        keys = [obs[column].astype(str).to_numpy(object) for column in PAIR]
        rows = obs.reset_index(drop=True).groupby(keys, sort=False).indices
        self.rows = {Pair(*pair): np.sort(numbers) for pair, numbers in rows.items()}
        if profiles is not None and (odd := sorted(profiles.keys() ^ self.rows.keys())):
            side = "cells" if odd[0] in profiles else "profile"
            raise PtragError(
                f"{path}: no {side} of {odd[0].perturbation!r} in {odd[0].cell_line!r}, unlike the "
                "file beside it; delete both and predict again"
            )

    @contextmanager
    def opened(self) -> Iterator[Callable[[Pair], Prediction | None]]:
        """Yield what reads the prediction of a pair, None where there is none."""
        with h5py.File(self.path) as file:
            X = file["X"]

            def read(pair: Pair) -> Prediction | None:
                rows = self.rows.get(pair)
                if rows is None:
                    return None
                together = rows[-1] - rows[0] + 1 == len(rows)
                cells = X[rows[0] : rows[-1] + 1] if together else X[rows]
                totals = None if self._totals is None else self._totals[rows]
                return Prediction(cells, self._profiles and self._profiles[pair], totals)

            yield read


def read_profiles(path: str | Path, store: CellStore) -> dict[Pair, PredictedMean]:
    """Return the predicted profile and delta of every pair of ``profiles.h5ad``.

    Raises
    ------
    PtragError
        If the file is damaged, of other genes or another scale, has no deltas, a pair twice, or a
        value that is missing or infinite.
    """
    obs = _checked_obs(path, store)
    with h5py.File(path) as file:
        if DELTA not in file["layers"]:
            raise PtragError(f"{path}: has no layer {DELTA!r}; delete it and predict again")
        values = [np.asarray(read_elem(file[key]), np.float64) for key in ("X", f"layers/{DELTA}")]
    pairs = [*map(Pair, obs[CELL_LINE].astype(str), obs[PERTURBATION].astype(str))]
    if len(set(pairs)) < len(pairs):
        raise PtragError(f"{path}: has a pair twice; delete it and predict again")
    finite = np.isfinite(values).all(axis=(0, 2))
    if len(infinite := np.flatnonzero(~finite)):
        line, name = pairs[infinite[0]]
        raise PtragError(
            f"{path}: the profile of {name!r} in {line!r} has missing or infinite values; look "
            "at the arm's training history"
        )
    return dict(zip(pairs, map(PredictedMean, *values), strict=True))


def _checked_obs(path: str | Path, store: CellStore) -> pd.DataFrame:
    """Return obs of a file of predictions whose genes and scale are those of the store."""
    try:
        with h5py.File(path) as file:
            obs, genes = read_elem(file["obs"]), read_elem(file["var"]).index
            scale = read_elem(file["uns"]).get("scale")
    except (OSError, KeyError):
        raise PtragError(f"{path}: is no file of predictions; delete it") from None
    if list(genes.astype(str)) != store.genes:
        raise PtragError(f"{path}: other genes than {store.path}; predict again from it")
    if scale != store.scale:
        raise PtragError(
            f"{path}: predicted on scale {scale!r}, {store.path} is on {store.scale!r}; both must "
            "be the same"
        )
    return obs
