"""What all arms of a split are scored with, in one file ``reference.h5``.

Everything that is fitted (PCA, bandwidths, centroids) is fitted on training pairs and
control cells; of the scored pairs the file holds what the real cells are: mean, variance
and their p-values against the same line's controls.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ptrag.cells.sets import keyed_rng
from ptrag.cells.store import CellStore
from ptrag.errors import PtragError
from ptrag.files import atomic
from ptrag.metrics.degs import Moments, moments, welch, wilcoxon
from ptrag.metrics.distribution import median_distance
from ptrag.metrics.pair import Line, Profile, ScoredPair
from ptrag.metrics.pca import PCA, fit_pca
from ptrag.splits import Split

FORMAT = 1
FIT_CELLS = 20_000  # cells that the PCA is fitted on, at most
BANDWIDTH_CELLS = 1_000  # cells of a line that its bandwidth comes from, at most
SCORED_CELLS = 2_000  # cells of a pair that distances between samples take, at most
SCORED_ROLES = ("val", "test")

logger = logging.getLogger("ptrag")


@dataclass(frozen=True)
class Reference:
    """What predictions are scored with.

    Attributes
    ----------
    store
        The real cells.
    settings
        The section ``evaluation`` of the configuration.
    split_sha256
        Which split it was made for.
    pca
        Fitted on training and control cells.
    lines
        Facts of each scored cell line.
    pairs
        cell_line, perturbation, role of every scored pair, in the split's order.
    measured
        Moments and p-values of the real cells of each pair, in the order of ``pairs``.
    """

    store: CellStore
    settings: dict[str, Any]
    split_sha256: str
    pca: PCA
    lines: dict[str, Line]
    pairs: pd.DataFrame
    measured: list[tuple[Moments, np.ndarray]]

    def real(self, number: int) -> Profile:
        """Return the real cells of pair ``number``, read from the store."""
        pair = self.pairs.iloc[number]
        cells = self.store.cells(pair["cell_line"], pair["perturbation"])
        return Profile(*self.measured[number], self._project(cells, pair))

    def profile(self, number: int, cells: np.ndarray, size: int | None = None) -> Profile:
        """Return (n, G) ``cells`` of pair ``number`` summed up.

        They are tested for differential expression as if they were ``size`` where they are
        more, so that a model that predicts more cells gets no power from that.
        """
        pair = self.pairs.iloc[number]
        line = self.lines[pair["cell_line"]]
        its = moments(cells)
        p = self._test(pair["cell_line"], line, cells, its, size)
        return Profile(its, p, self._project(cells, pair))

    def scored(self, number: int, predicted: Profile, real: Profile) -> ScoredPair:
        """Return pair ``number`` with ``predicted`` set against ``real``."""
        pair = self.pairs.iloc[number]
        return ScoredPair(
            line=self.lines[pair["cell_line"]],
            predicted=predicted,
            real=real,
            targets=self.targets(pair["perturbation"]),
            alpha=self.settings["deg_alpha"],
            max_degs=self.settings["max_degs"],
        )

    def targets(self, perturbation: str) -> np.ndarray:
        """Return the columns of the perturbed genes where the settings leave them out."""
        if not self.settings["exclude_target"]:
            return np.zeros(0, int)
        names = set(perturbation.split("+"))
        return np.array([i for i, gene in enumerate(self.store.genes) if gene in names], int)

    def _test(
        self, name: str, line: Line, cells: np.ndarray, its: Moments, size: int | None
    ) -> np.ndarray:
        size = None if size is None else min(size, its.n)
        if self.settings["deg_test"] == "welch":
            return welch(its, line.control, size)
        return wilcoxon(cells, self.store.controls(name), size)

    def _project(self, cells: np.ndarray, pair: pd.Series) -> np.ndarray:
        if len(cells) > SCORED_CELLS:
            rng = keyed_rng("scored cells", pair["cell_line"], pair["perturbation"])
            cells = cells[np.sort(rng.choice(len(cells), SCORED_CELLS, replace=False))]
        return self.pca.project(cells)


def build_reference(
    store: CellStore, split: Split, evaluation: Mapping[str, Any], out: str | Path
) -> None:
    """Write what all arms of ``split`` are scored with.

    Parameters
    ----------
    store, split
        The cells, and the role of every pair.
    evaluation
        The section of the configuration.
    out
        The file, HDF5.

    Raises
    ------
    PtragError
        If the split scores no pair.
    """
    pairs = split.table[split.table["role"].isin(SCORED_ROLES)].reset_index(drop=True)
    if pairs.empty:
        raise PtragError(f"{out}: the split has no val and no test pair to score")
    train = split.pairs("train")
    pca = _fit(store, train, evaluation["n_pcs"])
    names = sorted(set(pairs["cell_line"]))
    lines = {name: _line(store, name, [p for of, p in train if of == name], pca) for name in names}
    reference = Reference(
        store, dict(evaluation), split.sha256, pca, lines,
        pairs[["cell_line", "perturbation", "role"]], [],
    )  # fmt: skip
    for number, pair in pairs.iterrows():
        cells = store.cells(pair["cell_line"], pair["perturbation"])
        its = moments(cells)
        p = reference._test(pair["cell_line"], lines[pair["cell_line"]], cells, its, None)
        reference.measured.append((its, p))
        if (number + 1) % 100 == 0:
            logger.info("real cells of %d of %d pairs summed up", number + 1, len(pairs))
    _write(reference, out)


def _fit(store: CellStore, train: Sequence[tuple[str, str]], n_pcs: int) -> PCA:
    """PCA of a seeded sample of training and control cells."""
    blocks = [store.rows(*pair) for pair in train]
    blocks += [store.rows(line, "control") for line in store.lines]
    rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
    if len(rows) > FIT_CELLS:
        rows = keyed_rng("pca").choice(rows, FIT_CELLS, replace=False)
    pca = fit_pca(store.X[np.sort(rows)], n_pcs)
    logger.info("PCA: %d components of %d training and control cells", len(pca.components),
                min(len(rows), FIT_CELLS))  # fmt: skip
    return pca


def _line(store: CellStore, name: str, train: Sequence[str], pca: PCA) -> Line:
    controls = store.controls(name)
    if len(controls) < 2:
        raise PtragError(
            f"{store.path}: {name!r} has {len(controls)} control cell; scoring needs at least two"
        )
    rng = keyed_rng("controls of", name)
    half = np.array_split(rng.permutation(len(controls)), 2)
    profiles = [store.mean(name, p) for p in train]
    blocks = [store.rows(name, p) for p in [*train, "control"]]
    rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
    if len(rows) > BANDWIDTH_CELLS:
        rows = rng.choice(rows, BANDWIDTH_CELLS, replace=False)
    return Line(
        control=moments(controls),
        halves=np.stack([moments(controls[np.sort(its)]).mean for its in half]),
        centroid=np.mean(profiles, axis=0) if train else np.full(store.n_genes, np.nan),
        bandwidth=median_distance(pca.project(store.X[np.sort(rows)])),
    )


def _write(reference: Reference, out: str | Path) -> None:
    lines = reference.lines
    arrays = {
        "pca/mean": reference.pca.mean,
        "pca/components": reference.pca.components,
        "lines/name": list(lines),
        "lines/control_mean": [line.control.mean for line in lines.values()],
        "lines/control_variance": [line.control.variance for line in lines.values()],
        "lines/control_n": [line.control.n for line in lines.values()],
        "lines/halves": [line.halves for line in lines.values()],
        "lines/centroid": [line.centroid for line in lines.values()],
        "lines/bandwidth": [line.bandwidth for line in lines.values()],
        "pairs/mean": [its.mean for its, _ in reference.measured],
        "pairs/variance": [its.variance for its, _ in reference.measured],
        "pairs/n": [its.n for its, _ in reference.measured],
        "pairs/p": [p for _, p in reference.measured],
        **{f"pairs/{key}": reference.pairs[key].tolist() for key in reference.pairs},
    }
    with atomic(out) as part, h5py.File(part, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["settings"] = json.dumps(reference.settings, sort_keys=True)
        file.attrs["split_sha256"] = reference.split_sha256
        for key, values in arrays.items():
            text = isinstance(values, list) and isinstance(values[0], str)
            file.create_dataset(
                key, data=values, dtype=h5py.string_dtype() if text else None, track_times=False
            )


def read_reference(path: str | Path, store: CellStore, split: Split) -> Reference:
    """Read what :func:`build_reference` wrote.

    Raises
    ------
    PtragError
        If it was made for another split, or is no such file.
    """
    try:
        with h5py.File(path) as file:
            if int(file.attrs["format"]) != FORMAT:
                raise PtragError(f"{path}: made by another version; delete it")
            if file.attrs["split_sha256"] != split.sha256:
                raise PtragError(f"{path}: made for another split; delete it")
            settings = json.loads(file.attrs["settings"])
            at = {
                f"{group}/{key}": data.asstr()[:] if data.dtype.kind == "O" else data[:]
                for group in ("pca", "lines", "pairs")
                for key, data in file[group].items()
            }
    except (OSError, KeyError):
        raise PtragError(f"{path}: is no reference to score with; delete it") from None
    lines = {
        str(name): Line(Moments(mean, variance, int(n)), halves, centroid, float(bandwidth))
        for name, mean, variance, n, halves, centroid, bandwidth in zip(
            *(at[f"lines/{key}"] for key in (
                "name", "control_mean", "control_variance", "control_n", "halves", "centroid",
                "bandwidth",
            )), strict=True,
        )
    }  # fmt: skip
    measured = [
        (Moments(mean, variance, int(n)), p)
        for mean, variance, n, p in zip(
            *(at[f"pairs/{key}"] for key in ("mean", "variance", "n", "p")), strict=True
        )
    ]
    pairs = pd.DataFrame({key: at[f"pairs/{key}"] for key in ("cell_line", "perturbation", "role")})
    pca = PCA(at["pca/mean"], at["pca/components"])
    return Reference(store, settings, split.sha256, pca, lines, pairs.astype(str), measured)
