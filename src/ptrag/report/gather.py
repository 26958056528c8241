"""Reads everything the report shows into one plain structure.

Seeds are averaged within pairs as they are read. Cells are touched twice only:
for the mean profile of each scored pair, and for the predicted profiles of the
few pairs that are shown one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from ptrag.base.errors import PtragError
from ptrag.base.files import read_json, read_table
from ptrag.base.names import CONTROL
from ptrag.cells.store import CellStore
from ptrag.config import arm_embedding, arm_options
from ptrag.report.arms import ArmView, arm_views

PAIR = ["cell_line", "perturbation"]
NAMES = {
    column: str for column in (*PAIR, "candidate", "neighbour", "metric", "arm", "against", "note")
}
ROWS = 8192  # cells read at once


@dataclass(frozen=True)
class SplitView:
    """Results of one split, over its test pairs (its val pairs where it has no test pair).

    Attributes
    ----------
    name, protocol, target, dropped
        From ``split.json``.
    role
        Which pairs are scored: ``test`` or ``val``.
    counts
        Rows: cell lines; columns: pairs of each role.
    scores
        cell_line, perturbation, arm, metric, value; mean over seeds.
    bounds
        cell_line, perturbation, metric, floor, ceiling: the ends of the 0-1 scale of each pair.
    pairs
        Index (cell_line, perturbation) of the scored pairs; n_cells, effect_size (L2 norm
        of the observed delta), similarity (cosine of the nearest candidate; NaN without
        retrieval).
    history
        arm, seed, step, split, metric, value.
    evidence
        arm, cell_line, perturbation, candidate, rank, similarity, gate, effect; mean over seeds.
    notes
        arm, cell_line, perturbation, note: what an arm fell back on.
    intervals
        arm, cell_line, perturbation, coverage, coverage_degs, width, support; mean over seeds.
    audits
        Per embedding, ``audit.json``.
    """

    name: str
    protocol: str
    target: str | None
    dropped: dict[str, str]
    role: str
    counts: pd.DataFrame
    scores: pd.DataFrame
    bounds: pd.DataFrame
    pairs: pd.DataFrame
    history: pd.DataFrame
    evidence: pd.DataFrame
    notes: pd.DataFrame
    intervals: pd.DataFrame
    audits: dict[str, dict[str, Any]]

    def wide(self, metric: str) -> pd.DataFrame:
        """Return one metric as a table pairs × arms."""
        rows = self.scores[self.scores["metric"] == metric]
        return rows.pivot_table(index=PAIR, columns="arm", values="value", sort=True)


@dataclass(frozen=True)
class Results:
    """Everything the report shows, apart from profiles."""

    home: Path
    settings: dict[str, Any]
    simulated: bool
    facts: dict[str, Any]
    arms: dict[str, ArmView]
    splits: dict[str, SplitView]
    comparison: pd.DataFrame
    contrasts: pd.DataFrame
    coverage: dict[str, pd.DataFrame]

    @property
    def store(self) -> CellStore:
        """The cells."""
        return CellStore(self.home / "cells.h5ad")


def gather(home: Path, runs: Iterable[tuple[str, str, int]], settings: dict[str, Any]) -> Results:
    """Read the results of one data set.

    Parameters
    ----------
    home
        ``results/{dataset}``.
    runs
        (split, arm, seed) of every run.
    settings
        The resolved configuration.

    Raises
    ------
    PtragError
        Where a result file is missing.
    """
    runs = list(runs)
    store = CellStore(_there(home / "cells.h5ad"))
    comparison = read_table(_there(home / "comparison.tsv"), dtype=NAMES)
    seeds: dict[str, list[int]] = {}
    for _, arm, seed in runs:
        seeds.setdefault(arm, []).append(seed)
    splits = {
        split: _split(
            home, split, [run for run in runs if run[0] == split], store, _indices(settings, seeds)
        )
        for split in dict.fromkeys(split for split, _, _ in runs)
    }
    return Results(
        home=home,
        settings=settings,
        simulated=bool(store.simulated),
        facts={
            "cells": store.n_cells,
            "genes": store.n_genes,
            "lines": list(store.lines),
            "perturbations": len(store.perturbations),
            "batches": len(store.batches),
            "scale": store.scale,
            "controls": int(store.pairs["n_cells"][store.pairs["perturbation"] == CONTROL].sum()),
        },
        arms=arm_views(seeds | {arm: [] for arm in comparison["arm"] if arm not in seeds}),
        splits=splits,
        comparison=comparison,
        contrasts=read_table(_there(home / "contrasts.tsv"), dtype=NAMES),
        coverage={
            name: read_table(_there(home / "embeddings" / f"{name}.coverage.tsv"), dtype=str)
            for name in dict.fromkeys(arm_embedding(settings, arm) for arm in seeds)
            if name
        },
    )


def _indices(settings: dict[str, Any], arms: Iterable[str]) -> list[str]:
    """Embeddings that an index was built from for these arms."""
    names = [arm_embedding(settings, arm) for arm in arms if arm_options(settings, arm).get("rag")]
    return list(dict.fromkeys(name for name in names if name))


def _there(path: Path) -> Path:
    if not path.is_file():
        raise PtragError(f"{path}: no such file; the report needs it, run the workflow first")
    return path


def _split(
    home: Path,
    name: str,
    runs: Sequence[tuple[str, str, int]],
    store: CellStore,
    indices: Sequence[str],
) -> SplitView:
    folder = home / name
    about = read_json(_there(folder / "split.json"))
    table = read_table(_there(folder / "split.tsv"), dtype=NAMES)
    role = "test" if (table["role"] == "test").any() else "val"
    scores = _read_runs(folder, runs, "metrics.tsv")
    scores = scores[scores["role"] == role]
    facts = _pair_facts(scores, folder, store, indices)
    evidence = _read_runs(folder, runs, "evidence.tsv", [*PAIR, "candidate", "note"])
    evidence = evidence[pd.MultiIndex.from_frame(evidence[PAIR]).isin(facts.index)]
    measured = ["coverage", "coverage_degs", "width", "support"]
    intervals = _read_runs(folder, runs, "conformal.tsv", [*PAIR, "role", *measured])
    intervals = intervals[intervals["role"] == role]
    history = _read_runs(folder, runs, "history.tsv", ["step", "metric"], needed=False)
    return SplitView(
        name=name,
        protocol=about["protocol"],
        target=about.get("target"),
        dropped=about.get("dropped") or {},
        role=role,
        counts=pd.crosstab(table["cell_line"], table["role"]),
        scores=scores.groupby([*PAIR, "arm", "metric"], as_index=False)["value"].mean(),
        bounds=scores.groupby([*PAIR, "metric"], as_index=False)[["floor", "ceiling"]].mean(),
        pairs=facts,
        history=history,
        evidence=_mean_evidence(evidence),
        notes=_notes(evidence),
        intervals=intervals[["arm", *PAIR, *measured]]
        .groupby(["arm", *PAIR], as_index=False, sort=False)
        .mean(),
        audits={
            name: read_json(_there(folder / "index" / name / "audit.json")) for name in indices
        },
    )


def _read_runs(
    folder: Path,
    runs: Sequence[tuple[str, str, int]],
    file: str,
    columns: Sequence[str] = (),
    needed: bool = True,
) -> pd.DataFrame:
    """Stack one table of all runs, with the arm and the seed in front."""
    tables = [pd.DataFrame(columns=["arm", "seed", *columns])]
    for _, arm, seed in runs:
        path = folder / arm / f"seed{seed}" / file
        if needed or path.is_file():
            table = read_table(_there(path), dtype=NAMES)
            table.insert(0, "arm", arm)
            table.insert(1, "seed", seed)
            tables.append(table)
    filled = [table for table in tables if len(table)]
    stacked = pd.concat(filled, ignore_index=True) if filled else tables[0]
    return stacked.assign(**{column: None for column in columns if column not in stacked})


def _mean_evidence(evidence: pd.DataFrame) -> pd.DataFrame:
    keys = ["arm", *PAIR, "candidate"]
    values = [c for c in ("rank", "similarity", "gate", "effect") if c in evidence]
    if evidence.empty:
        return pd.DataFrame(columns=[*keys, "rank", "similarity", "gate", "effect"])
    mean = evidence.groupby(keys, as_index=False)[values].mean()
    return mean.sort_values(["arm", *PAIR, "rank", "candidate"], ignore_index=True)


def _notes(evidence: pd.DataFrame) -> pd.DataFrame:
    noted = evidence[evidence["note"].notna() & (evidence["note"] != "")]
    return noted[["arm", *PAIR, "note"]].drop_duplicates(ignore_index=True)


def _pair_facts(
    scores: pd.DataFrame, folder: Path, store: CellStore, indices: Sequence[str]
) -> pd.DataFrame:
    pairs = scores[PAIR].drop_duplicates().sort_values(PAIR, ignore_index=True)
    n_cells = store.pairs.set_index(PAIR)["n_cells"]
    control = {line: store.mean(line, CONTROL) for line in pairs["cell_line"].unique()}
    keys = list(pairs.itertuples(index=False, name=None))
    pairs["n_cells"] = [int(n_cells.loc[key]) for key in keys]
    pairs["effect_size"] = [
        float(np.linalg.norm(store.mean(*key) - control[key[0]])) for key in keys
    ]
    nearest = _nearest(folder, indices)
    pairs["similarity"] = pairs["perturbation"].map(nearest).astype(float)
    return pairs.set_index(PAIR)


def _nearest(folder: Path, indices: Sequence[str]) -> dict[str, float]:
    """Similarity of each perturbation's first neighbour, in the embedding that is not spoilt."""
    for name in indices:
        if "@" not in name:
            table = read_table(_there(folder / "index" / name / "neighbours.tsv"), dtype=NAMES)
            return dict(table.groupby("perturbation")["similarity"].max())
    return {}


def observed_delta(store: CellStore, line: str, perturbation: str) -> np.ndarray:
    """Return the (G,) measured delta of a pair."""
    return store.mean(line, perturbation) - store.mean(line, CONTROL)


def predicted_deltas(
    results: Results, split: str, pairs: Sequence[tuple[str, str]], arms: Iterable[str]
) -> dict[str, dict[tuple[str, str], np.ndarray]]:
    """Return {arm: {pair: (G,) predicted delta}}: predicted profile minus the line's controls.

    The profile is the mean over the pair's predicted cells, then over seeds.
    """
    store = results.store
    control = {line: store.mean(line, CONTROL) for line, _ in pairs}
    deltas: dict[str, dict[tuple[str, str], np.ndarray]] = {}
    for arm in arms:
        view = results.arms[arm]
        files = [
            results.home / split / arm / f"seed{seed}" / "predictions.h5ad" for seed in view.seeds
        ]
        means = [_means(_there(file), pairs) for file in files]
        deltas[arm] = {
            pair: np.mean([mean[pair] for mean in means], axis=0) - control[pair[0]]
            for pair in pairs
            if all(pair in mean for mean in means)
        }
    return deltas


def _means(path: Path, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray]:
    """Mean of the predicted cells of some pairs, reading only their rows."""
    with h5py.File(path, "r") as file:
        obs = read_elem(file["obs"])
        line, perturbation = (obs[column].astype(str).to_numpy() for column in PAIR)
        found = {}
        for pair in pairs:
            rows = np.flatnonzero((line == pair[0]) & (perturbation == pair[1]))
            if len(rows):
                total = sum(
                    file["X"][rows[at : at + ROWS]].sum(axis=0, dtype=np.float64)
                    for at in range(0, len(rows), ROWS)
                )
                found[pair] = total / len(rows)
    return found
