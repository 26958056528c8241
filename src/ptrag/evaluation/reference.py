"""What all arms of a split are scored with, in one file ``reference.h5``.

Everything that is fitted (PCA, bandwidths, centroids, the mean baseline) is fitted on training
pairs and control cells; of the scored pairs the file holds what the real cells are: mean,
variance, p-values against the same line's controls, and how well one half of them predicts
the other. The attribute ``fitted`` says in JSON what was fitted on which cells
(:func:`fitted_on` reads it).
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.base.moments import Moments, moments
from ptrag.base.names import CONTROL
from ptrag.base.random import keyed_rng
from ptrag.cells.noise import Precision
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.evaluation.bounds import ceiling, floor
from ptrag.evaluation.scoring import Reference
from ptrag.metrics.distribution import median_distance
from ptrag.metrics.pair import Line
from ptrag.metrics.pca import PCA, fit_pca
from ptrag.splits.protocols import Split

FORMAT = 2
FIT_CELLS = 20_000  # cells that the PCA is fitted on, at most
BANDWIDTH_CELLS = 1_000  # cells of a line that its bandwidth comes from, at most
SCORED_ROLES = ("val", "test")

logger = logging.getLogger("ptrag")


def build_reference(
    store: CellStore,
    split: Split,
    evaluation: Mapping[str, Any],
    out: str | Path,
    *,
    floor_cells: int | None,
    ceilings: bool = True,
    threads: int = 1,
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
    floor_cells
        Cells of each pair that the mean baseline predicts: as many as the arms do. None leaves
        it out.
    ceilings
        Whether to score the split halves, the other end of the 0-1 scale; both together take
        about four times as long as scoring one arm.
    threads
        Pairs scored at once.

    Raises
    ------
    PtragError
        If the split scores no pair, or a line has fewer than two control cells.
    """
    pairs = split.table[split.table["role"].isin(SCORED_ROLES)].reset_index(drop=True)
    if pairs.empty:
        raise PtragError(f"{out}: the split has no val and no test pair to score")
    train = split.pairs("train")
    pca = _fit(store, train, evaluation["n_pcs"])
    names = sorted(set(pairs["cell_line"]))
    lines = {name: _line(store, name, [p for of, p in train if of == name], pca) for name in names}
    pairs = pairs[["cell_line", "perturbation", "role"]]
    precision = Precision.of(Responses.measured(store, split))
    reference = Reference(store, dict(evaluation), pca, lines, pairs, [], precision, {})
    for line, perturbation in zip(pairs["cell_line"], pairs["perturbation"], strict=True):
        cells = store.cells(line, perturbation)
        its = moments(cells)
        reference.measured.append((its, reference.tested(cells, its, line)))
    nothing = np.full((len(pairs), len(reference.metrics)), np.nan)
    logger.info("scoring the mean baseline and split halves of %d pairs", len(pairs))
    reference.bounds["floor"] = (
        nothing if floor_cells is None else floor(reference, train, floor_cells, threads)
    )
    reference.bounds["ceiling"] = ceiling(reference, threads) if ceilings else nothing
    _write(reference, split.sha256, out)


def _fit(store: CellStore, train: Sequence[tuple[str, str]], n_pcs: int) -> PCA:
    """PCA of a seeded sample of training and control cells."""
    rows = _rows(store, [*train, *((line, CONTROL) for line in store.lines)])
    if len(rows) > FIT_CELLS:
        rows = keyed_rng("pca").choice(rows, FIT_CELLS, replace=False)
    pca = fit_pca(store.X[np.sort(rows)], n_pcs)
    logger.info("PCA: %d components of %d cells", len(pca.components), min(len(rows), FIT_CELLS))
    return pca


def _rows(store: CellStore, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    blocks = [store.rows(*pair) for pair in pairs]
    return np.concatenate([np.arange(block.start, block.stop) for block in blocks])


def _line(store: CellStore, name: str, train: Sequence[str], pca: PCA) -> Line:
    controls = store.controls(name)
    if len(controls) < 2:
        raise PtragError(
            f"{store.path}: {name!r} has {len(controls)} control cell; scoring needs at least two"
        )
    rng = keyed_rng("controls of", name)
    halves = np.array_split(rng.permutation(len(controls)), 2)
    rows = _rows(store, [(name, p) for p in [*train, CONTROL]])
    if len(rows) > BANDWIDTH_CELLS:
        rows = rng.choice(rows, BANDWIDTH_CELLS, replace=False)
    profiles = np.array([store.mean(name, p) for p in train], np.float32)
    return Line(
        control=moments(controls),
        halves=np.stack([moments(controls[np.sort(half)]).mean for half in halves]),
        profiles=profiles.reshape(len(train), store.n_genes),
        bandwidth=median_distance(pca.project(store.X[np.sort(rows)])),
    )


def _write(reference: Reference, split_sha256: str, out: str | Path) -> None:
    lines, measured = reference.lines, reference.measured
    arrays = {
        "pca/mean": reference.pca.mean,
        "pca/components": reference.pca.components,
        "lines/name": list(lines),
        "lines/control_mean": [line.control.mean for line in lines.values()],
        "lines/control_variance": [line.control.variance for line in lines.values()],
        "lines/control_n": [line.control.n for line in lines.values()],
        "lines/halves": [line.halves for line in lines.values()],
        "lines/bandwidth": [line.bandwidth for line in lines.values()],
        "lines/n_profiles": [len(line.profiles) for line in lines.values()],
        "profiles/mean": np.concatenate([line.profiles for line in lines.values()]),
        "genes/noise": reference.precision.noise,
        "genes/signal": reference.precision.signal,
        **{f"entries/{key}": its.tolist() for key, its in reference.precision.entries.items()},
        "pairs/mean": [its.mean for its, _ in measured],
        "pairs/variance": [its.variance for its, _ in measured],
        "pairs/n": [its.n for its, _ in measured],
        "pairs/p": [p for _, p in measured],
        **{f"pairs/{key}": reference.pairs[key].tolist() for key in reference.pairs},
        **{f"bounds/{key}": values for key, values in reference.bounds.items()},
    }
    with atomic(out) as part, h5py.File(part, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["settings"] = json.dumps(reference.settings, sort_keys=True)
        file.attrs["metrics"] = json.dumps(reference.metrics)
        file.attrs["split_sha256"] = split_sha256
        file.attrs["fitted"] = json.dumps(_fitted(reference), sort_keys=True)
        for key, values in arrays.items():
            text = key.endswith(("name", "cell_line", "perturbation", "role"))
            file.create_dataset(
                key, data=values, dtype=h5py.string_dtype() if text else None, track_times=False
            )


def _fitted(reference: Reference) -> dict[str, Any]:
    """Return what was fitted on which cells, in words and numbers."""
    its, lines = reference.settings, reference.lines
    entries = reference.precision.entries["cell_line"].value_counts().sort_index()
    return {
        "pca": {
            "on": f"training and control cells of all lines, a sample of at most {FIT_CELLS}",
            "components": len(reference.pca.components),
        },
        "bandwidth": {
            "on": "median distance of the line's control and training cells in the PCA, a sample "
            f"of at most {BANDWIDTH_CELLS}",
            "value": {name: line.bandwidth for name, line in lines.items()},
        },
        "degs": {
            "on": "real cells of the pair against all control cells of its line",
            "test": its["deg_test"],
            "adjusted": "Benjamini-Hochberg over the pair's genes",
            "alpha": its["deg_alpha"],
            "at_most": its["max_degs"],
            "controls": {name: line.control.n for name, line in lines.items()},
        },
        "centroid": {
            "on": "training pairs of the line",
            "pairs": {name: len(line.profiles) for name, line in lines.items()},
        },
        "noise_and_signal": {
            "on": "training pairs",
            "pairs": {str(line): int(n) for line, n in entries.items()},
        },
        "target_left_out": its["exclude_target"],
    }


def fitted_on(path: str | Path) -> dict[str, Any]:
    """Return what a ``reference.h5`` says was fitted on which cells."""
    with h5py.File(path) as file:
        return json.loads(file.attrs["fitted"])


def read_reference(path: str | Path, store: CellStore, split: Split) -> Reference:
    """Read what :func:`build_reference` wrote.

    Raises
    ------
    PtragError
        If it was made for another split or by another version, or is no such file.
    """
    try:
        with h5py.File(path) as file:
            if file.attrs["split_sha256"] != split.sha256:
                raise PtragError(f"{path}: made for another split; delete it")
            settings, made = (json.loads(file.attrs[key]) for key in ("settings", "metrics"))
            version = int(file.attrs["format"])
            at = {
                f"{group}/{key}": data.asstr()[:] if data.dtype.kind == "O" else data[:]
                for group in ("pca", "lines", "profiles", "genes", "entries", "pairs", "bounds")
                for key, data in file[group].items()
            }
    except (OSError, KeyError):
        raise PtragError(f"{path}: is no reference to score with; delete it") from None
    reference = Reference(
        store=store,
        settings=settings,
        pca=PCA(at["pca/mean"], at["pca/components"]),
        lines=_read_lines(at),
        pairs=_table(at, "pairs", "role"),
        measured=[
            (Moments(mean, variance, int(n)), p)
            for mean, variance, n, p in _together(at, "pairs", "mean", "variance", "n", "p")
        ],
        precision=Precision(
            at["genes/noise"], at["genes/signal"], _table(at, "entries", "reliability")
        ),
        bounds={key: at[f"bounds/{key}"] for key in ("floor", "ceiling")},
    )
    if version != FORMAT or made != reference.metrics:
        raise PtragError(f"{path}: made by another version; delete it")
    return reference


def _read_lines(at: Mapping[str, np.ndarray]) -> dict[str, Line]:
    ends = np.cumsum(at["lines/n_profiles"])
    profiles = np.split(at["profiles/mean"], ends[:-1])
    facts = _together(at, "lines", "name", "control_mean", "control_variance", "control_n",
                      "halves", "bandwidth")  # fmt: skip
    return {
        str(name): Line(Moments(mean, variance, int(n)), halves, its, float(bandwidth))
        for (name, mean, variance, n, halves, bandwidth), its in zip(facts, profiles, strict=True)
    }


def _table(at: Mapping[str, np.ndarray], group: str, column: str) -> pd.DataFrame:
    """Return a table of pairs with one more column."""
    return pd.DataFrame({
        key: at[f"{group}/{key}"] for key in ("cell_line", "perturbation", column)
    }).astype({"cell_line": str, "perturbation": str})  # fmt: skip


def _together(at: Mapping[str, np.ndarray], group: str, *keys: str) -> zip:
    return zip(*(at[f"{group}/{key}"] for key in keys), strict=True)
