"""What all arms of a split are scored with, in one file ``reference.h5``.

Everything that is fitted (PCA, bandwidths, centroids, the mean baseline) is fitted on training
pairs and controls, PCA and bandwidths on yardstick controls: predicted cells start from the given
ones, so that a PCA of these would show more of them than of real cells. Of the scored pairs the
file holds what the real cells are: mean, variance, p-values against the same line's yardstick
controls, how well one half of them predicts the other, and what their counts say
(:mod:`ptrag.evaluation.counted`). The attribute ``fitted`` says in JSON
what was fitted on which cells (:func:`fitted_on` reads it).
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.base.moments import Moments, moments, pooled
from ptrag.base.names import CELL_LINE, PAIR, PERTURBATION, ROLE, Pair
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import ALL, GIVEN, YARDSTICK, Part
from ptrag.cells.noise import Precision
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.evaluation.bounds import ceiling, floor, floor_of_others, mean_deltas
from ptrag.evaluation.challenge import Challenge
from ptrag.evaluation.counted import Counted
from ptrag.evaluation.lines import Controls, Line
from ptrag.evaluation.sides import Reference
from ptrag.metrics.distribution import median_distance
from ptrag.metrics.pca import PCA, fit_pca
from ptrag.metrics.registry import metric_names
from ptrag.splits.leakage import audit_responses
from ptrag.splits.protocols import Split

FORMAT = 4
FEWEST_CONTROLS = 2  # of each half: one has no variance
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
    others_as_floor: bool = False,
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
    others_as_floor
        Whether the mean response of the line's other scored pairs is the floor, for want of
        training pairs.
    ceilings
        Whether to score the split halves; with the mean baseline that takes about four times as
        long as scoring one arm.
    threads
        Pairs scored at once.

    Raises
    ------
    PtragError
        If the split scores no pair, a line has fewer than two given or yardstick controls, or a
        training response leaks.
    """
    pairs = split.table[split.table[ROLE].isin(SCORED_ROLES)].reset_index(drop=True)
    if pairs.empty:
        raise PtragError(f"{out}: the split has no val and no test pair to score")
    pairs = pairs[[*PAIR, ROLE]]
    train = split.pairs("train")
    pca = _fit(store, train, evaluation["n_pcs"])
    lines = {name: _line(store, name, train, pca) for name in sorted(set(pairs[CELL_LINE]))}
    precision, deltas = _from_training(store, split, lines)
    keys = [*map(Pair, pairs[CELL_LINE], pairs[PERTURBATION])]
    counted = Counted.of(store, [*lines], keys, threads) if store.has_counts else None
    reference = Reference(store, dict(evaluation), pca, lines, pairs, [], precision, {}, counted)
    for pair in reference.keys:
        cells, yardstick = store.cells(*pair), lines[pair.cell_line].yardstick
        sample = moments(cells)
        reference.measured.append((sample, reference.tested(cells, sample, yardstick)))
    logger.info("scoring the mean baseline and split halves of %d pairs", len(pairs))
    floors = ceilinged = np.full((len(pairs), len(reference.metrics)), np.nan)
    if others_as_floor:
        floors = floor_of_others(reference, threads)
    elif floor_cells is not None:
        floors = floor(reference, deltas, floor_cells, threads)
    if ceilings:
        ceilinged = ceiling(reference, threads)
    if store.has_counts:
        challenge = Challenge(reference, threads)
        floors = reference.with_members(floors, challenge.mean_baseline())
        if ceilings:
            ceilinged = reference.with_members(ceilinged, challenge.replicates())
    reference.bounds.update(floor=floors, ceiling=ceilinged)
    _write(reference, split.sha256, out)


def _from_training(
    store: CellStore, split: Split, lines: Iterable[str]
) -> tuple[Precision, dict[str, np.ndarray]]:
    """Return what the training responses say of noise and signal, and their mean in each line."""
    responses = Responses.measured(store, split)
    audit_responses(split, responses.entries)
    return Precision.of(responses), mean_deltas(responses, lines)


def _fit(store: CellStore, train: Sequence[tuple[str, str]], n_pcs: int) -> PCA:
    """PCA of a seeded sample of training cells and yardstick controls, of all lines."""
    rows = _rows(store, train, store.lines)
    if len(rows) > FIT_CELLS:
        rows = keyed_rng("pca").choice(rows, FIT_CELLS, replace=False)
    pca = fit_pca(store.X[np.sort(rows)], n_pcs)
    logger.info("PCA: %d components of %d cells", len(pca.components), len(rows))
    return pca


def _rows(store: CellStore, train: Sequence[tuple[str, str]], lines: Sequence[str]) -> np.ndarray:
    """Rows of training cells and of the yardstick controls of ``lines``."""
    blocks = [store.rows(*pair) for pair in train]
    blocks += [store.control_rows(line, YARDSTICK) for line in lines]
    return np.concatenate([np.arange(block.start, block.stop) for block in blocks])


def _line(store: CellStore, name: str, train: Sequence[tuple[str, str]], pca: PCA) -> Line:
    pairs = [pair for pair in train if pair[0] == name]
    rows = _rows(store, pairs, [name])
    if len(rows) > BANDWIDTH_CELLS:
        rows = keyed_rng("bandwidth", name).choice(rows, BANDWIDTH_CELLS, replace=False)
    profiles = np.array([store.mean(*pair) for pair in pairs])
    given, yardstick = (_controls(store, name, part) for part in (GIVEN, YARDSTICK))
    return Line(
        given=given,
        yardstick=yardstick,
        every_control=_together(store, name, given.moments, yardstick.moments),
        trained=[perturbation for _, perturbation in pairs],
        profiles=profiles.reshape(len(pairs), store.n_genes),
        bandwidth=median_distance(pca.project(store.X[np.sort(rows)])),
    )


def _together(store: CellStore, line: str, given: Moments, yardstick: Moments) -> Controls:
    return Controls(pooled(given, yardstick), store.controls(line, ALL))


def _controls(store: CellStore, line: str, part: Part) -> Controls:
    cells = store.controls(line, part)
    if len(cells) < FEWEST_CONTROLS:
        raise PtragError(
            f"{store.path}: {line!r} has {len(cells)} {part} control; scoring needs at least "
            f"{FEWEST_CONTROLS} of each half"
        )
    return Controls.of(cells)


def _write(reference: Reference, split_sha256: str, out: str | Path) -> None:
    lines, measured, entries = reference.lines, reference.measured, reference.precision.entries
    counted = reference.counted
    arrays = {
        "pca/mean": reference.pca.mean,
        "pca/components": reference.pca.components,
        "lines/name": list(lines),
        "lines/bandwidth": [line.bandwidth for line in lines.values()],
        "lines/n_trained": [len(line.trained) for line in lines.values()],
        **_arrays(GIVEN, [line.given.moments for line in lines.values()]),
        **_arrays(YARDSTICK, [line.yardstick.moments for line in lines.values()]),
        "trained/perturbation": [name for line in lines.values() for name in line.trained],
        "trained/mean": np.concatenate([line.profiles for line in lines.values()]),
        "genes/noise": reference.precision.noise,
        "genes/signal": reference.precision.signal,
        **{f"entries/{key}": column.tolist() for key, column in entries.items()},
        **_arrays("pairs", [sample for sample, _ in measured]),
        "pairs/p": [p for _, p in measured],
        **{f"pairs/{key}": reference.pairs[key].tolist() for key in reference.pairs},
        **{f"bounds/{key}": values for key, values in reference.bounds.items()},
        **{f"counted/{key}": v for key, v in (counted._asdict() if counted else {}).items()},
    }
    with atomic(out) as part, h5py.File(part, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["settings"] = json.dumps(reference.settings, sort_keys=True)
        file.attrs["metrics"] = json.dumps(reference.metrics)
        file.attrs["split_sha256"] = split_sha256
        file.attrs["fitted"] = json.dumps(_fitted(reference), sort_keys=True)
        for key, values in arrays.items():
            text = key.endswith(("name", CELL_LINE, PERTURBATION, ROLE))
            file.create_dataset(
                key, data=values, dtype=h5py.string_dtype() if text else None, track_times=False
            )


def _arrays(group: str, samples: Sequence[Moments]) -> dict[str, list]:
    return {f"{group}/{key}": [getattr(s, key) for s in samples] for key in Moments._fields}


def _fitted(reference: Reference) -> dict[str, Any]:
    """Return what was fitted on which cells, in words and numbers."""
    settings, lines = reference.settings, reference.lines
    entries = reference.precision.entries[CELL_LINE].value_counts().sort_index()
    return {
        "pca": {
            "on": "training cells and yardstick controls of all lines, a sample of at most "
            f"{FIT_CELLS}",
            "components": len(reference.pca.components),
        },
        "bandwidth": {
            "on": "median distance of the line's training cells and yardstick controls in the PCA, "
            f"a sample of at most {BANDWIDTH_CELLS}",
            "value": {name: line.bandwidth for name, line in lines.items()},
        },
        "degs": {
            "on": "real cells of the pair against the yardstick controls of its line, predicted "
            "cells against the given ones",
            "test": settings["deg_test"],
            "adjusted": "Benjamini-Hochberg over the pair's genes",
            "alpha": settings["deg_alpha"],
            "at_most": settings["max_degs"],
            "given": {name: line.given.moments.n for name, line in lines.items()},
            "yardstick": {name: line.yardstick.moments.n for name, line in lines.items()},
        },
        "centroid": {
            "on": "training pairs of the line",
            "pairs": {name: len(line.trained) for name, line in lines.items()},
        },
        "noise_and_signal": {
            "on": "training pairs",
            "pairs": {str(line): int(n) for line, n in entries.items()},
        },
        "target_left_out": settings["exclude_target"],
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
            version = int(file.attrs["format"])
            if version == FORMAT and file.attrs["split_sha256"] != split.sha256:
                raise PtragError(f"{path}: made for another split; delete it")
            settings, names = (json.loads(file.attrs[key]) for key in ("settings", "metrics"))
            at = {
                f"{group}/{key}": data.asstr()[:] if data.dtype.kind == "O" else data[:]
                for group in file
                for key, data in file[group].items()
            }
    except (OSError, KeyError):
        raise PtragError(f"{path}: is no reference to score with; delete it") from None
    if version != FORMAT or names != metric_names(settings.get("compat", False), store.has_counts):
        raise PtragError(f"{path}: made by another version; delete it")
    return Reference(
        store=store,
        settings=settings,
        pca=PCA(at["pca/mean"], at["pca/components"]),
        lines=_read_lines(at, store),
        pairs=_table(at, "pairs", ROLE),
        measured=[*zip(_moments(at, "pairs"), at["pairs/p"], strict=True)],
        precision=Precision(
            at["genes/noise"], at["genes/signal"], _table(at, "entries", "reliability")
        ),
        bounds={key: at[f"bounds/{key}"] for key in ("floor", "ceiling")},
        counted=Counted(*(at[f"counted/{key}"] for key in Counted._fields))
        if store.has_counts
        else None,
    )


def _read_lines(at: Mapping[str, np.ndarray], store: CellStore) -> dict[str, Line]:
    ends = np.cumsum(at["lines/n_trained"])[:-1]
    facts = zip(
        at["lines/name"],
        _moments(at, GIVEN),
        _moments(at, YARDSTICK),
        np.split(at["trained/perturbation"], ends),
        np.split(at["trained/mean"], ends),
        at["lines/bandwidth"],
        strict=True,
    )
    return {
        name: Line(
            Controls(given, store.controls(name, GIVEN)),
            Controls(yardstick, store.controls(name, YARDSTICK)),
            _together(store, name, given, yardstick),
            trained.tolist(),
            profiles,
            float(bandwidth),
        )
        for name, given, yardstick, trained, profiles, bandwidth in facts
    }


def _moments(at: Mapping[str, np.ndarray], group: str) -> list[Moments]:
    samples = zip(*(at[f"{group}/{key}"] for key in Moments._fields), strict=True)
    return [Moments(mean, variance, int(n)) for mean, variance, n in samples]


def _table(at: Mapping[str, np.ndarray], group: str, column: str) -> pd.DataFrame:
    """Return a table of pairs with one more column."""
    columns = {key: at[f"{group}/{key}"] for key in (*PAIR, column)}
    return pd.DataFrame(columns).astype(dict.fromkeys(PAIR, str))
