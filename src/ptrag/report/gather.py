"""Reads everything the report shows into one plain structure.

Seeds are averaged within pairs as they are read. Cells are touched for the mean profile of each
scored pair alone; predicted profiles for the few pairs that are shown one by one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.files import read_json, read_table
from ptrag.base.names import (
    CELL_LINE,
    CONTROL,
    METRIC,
    N_CELLS,
    PAIR,
    PERTURBATION,
    ROLE,
    STRENGTH,
    Run,
)
from ptrag.cells.store import CellStore
from ptrag.comparison.claims import SplitClaims, stand_ins
from ptrag.comparison.compare import SplitTables
from ptrag.comparison.scores import SplitScores, read_scores
from ptrag.config import arm_embedding, arm_index
from ptrag.report.arms import ArmView, arm_views
from ptrag.report.files import present
from ptrag.report.runs import Training, read_training

TEXT = dict.fromkeys(
    (*PAIR, "candidate", "neighbour", METRIC, "arm", "against", "barred", "note"), str
)
"""Columns of result tables that are read as text, whatever they look like."""


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
        Index (arm, cell_line, perturbation), one column per metric; mean over seeds. The pairs
        are those that every arm predicted.
    floor, ceiling
        Index (cell_line, perturbation), one column per metric: mean baseline and replicate.
    pairs
        Index (cell_line, perturbation) of the scored pairs; n_cells, effect_size (L2 norm
        of the observed delta), strength (the same less its noise), similarity (cosine of the
        nearest candidate; NaN without retrieval).
    history
        arm, seed, step, split, metric, value.
    trainings
        What the trained runs say of themselves.
    evidence
        arm, cell_line, perturbation, candidate, rank, similarity, gate, effect; mean over seeds.
    notes
        arm, cell_line, perturbation, note: what an arm fell back on.
    strata, solved
        Rows of ``strata.tsv`` and ``solved.tsv``.
    intervals
        arm, cell_line, perturbation, coverage, coverage_degs, width, support; mean over seeds.
    audits
        Per embedding, ``audit.json``.
    claims
        What may be said of the split.
    """

    name: str
    protocol: str
    target: str | None
    dropped: dict[str, str]
    role: str
    counts: pd.DataFrame
    scores: pd.DataFrame
    floor: pd.DataFrame
    ceiling: pd.DataFrame
    pairs: pd.DataFrame
    history: pd.DataFrame
    trainings: list[Training]
    evidence: pd.DataFrame
    notes: pd.DataFrame
    intervals: pd.DataFrame
    audits: dict[str, dict[str, Any]]
    strata: pd.DataFrame
    solved: pd.DataFrame
    claims: SplitClaims

    @cached_property
    def twins(self) -> dict[str, str]:
        """Arms that predict the same as another, and the arm that stands for both."""
        return stand_ins(self.scores, self.claims)

    def wide(self, metric: str) -> pd.DataFrame:
        """Return one metric as a table pairs × arms."""
        return self.scores[metric].unstack("arm")  # noqa: PD010 - no key comes twice


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
    runs = [Run(*run) for run in runs]
    store = CellStore(present(home / "cells.h5ad"))
    compared = SplitTables(
        *(read_table(present(home / f"{name}.tsv"), dtype=TEXT) for name in SplitTables._fields)
    )
    seeds: dict[str, list[int]] = {}
    for run in runs:
        seeds.setdefault(run.arm, []).append(run.seed)
    reader = _Reader(home, store, _indices(settings, seeds), compared)

    def claims(split: str, role: str) -> SplitClaims:
        tables = compared.comparison, compared.contrasts
        return SplitClaims(*tables, split, role, settings["evaluation"])

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
            **_target_facts(store),
            "controls": int(store.pairs[N_CELLS][store.pairs[PERTURBATION] == CONTROL].sum()),
        },
        arms=arm_views(seeds | {arm: [] for arm in compared.comparison["arm"] if arm not in seeds}),
        splits={
            split: reader.split(split, [run for run in runs if run.split == split], claims)
            for split in dict.fromkeys(run.split for run in runs)
        },
        comparison=compared.comparison,
        coverage={
            name: read_table(present(home / "embeddings" / f"{name}.coverage.tsv"), dtype=str)
            for name in dict.fromkeys(arm_embedding(settings, arm) for arm in seeds)
            if name
        },
    )


def _indices(settings: dict[str, Any], arms: Iterable[str]) -> list[str]:
    """Names of the indices that these arms read."""
    names = [arm_index(settings, arm) for arm in arms]
    return list(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True)
class _Reader:
    """Reads the splits of one data set and its indices, by name."""

    home: Path
    store: CellStore
    indices: Sequence[str]
    compared: SplitTables

    def split(
        self, name: str, runs: Sequence[Run], claims: Callable[[str, str], SplitClaims]
    ) -> SplitView:
        """Read one split; ``claims`` makes what may be said of it from its name and role."""
        folder = self.home / name
        about = read_json(present(folder / "split.json"))
        roles = read_table(present(folder / "split.tsv"), dtype=TEXT)
        table = read_scores(
            name, [(run.arm, run.seed, present(self._file(run, "metrics.tsv"))) for run in runs]
        )
        scored = (table.pairs[ROLE] == table.scored_role).to_numpy()
        index = pd.MultiIndex.from_frame(table.pairs.loc[scored, PAIR])
        floor, ceiling = (
            pd.DataFrame(ends[scored], index=index, columns=table.metrics).sort_index()
            for ends in (table.floor, table.ceiling)
        )
        measured = ["coverage", "coverage_degs", "width", "support"]
        evidence = self._stacked(runs, "evidence.tsv", [*PAIR, "candidate", "note"])
        intervals = self._stacked(runs, "conformal.tsv", [*PAIR, *measured])
        evidence, intervals = (
            rows[pd.MultiIndex.from_frame(rows[PAIR]).isin(index)] for rows in (evidence, intervals)
        )
        return SplitView(
            name=name,
            protocol=about["protocol"],
            target=about.get("target"),
            dropped=about.get("dropped") or {},
            role=table.scored_role,
            counts=pd.crosstab(roles[CELL_LINE], roles[ROLE]),
            scores=mean_scores(table, scored, index),
            floor=floor,
            ceiling=ceiling,
            pairs=self._pair_facts(folder, floor.index, table.pairs.set_index(PAIR)[STRENGTH]),
            history=self._stacked(runs, "history.tsv", ["step", METRIC], needed=False),
            trainings=[
                training for run in runs if (training := read_training(run, self.home / run.path))
            ],
            evidence=_mean_evidence(evidence),
            notes=_notes(evidence),
            intervals=intervals[["arm", *PAIR, *measured]]
            .groupby(["arm", *PAIR], as_index=False, sort=False)
            .mean(),
            audits={
                name: read_json(present(folder / "index" / name / "audit.json"))
                for name in self.indices
            },
            strata=self.compared.strata[self.compared.strata["split"] == name],
            solved=self.compared.solved[self.compared.solved["split"] == name],
            claims=claims(name, table.scored_role),
        )

    def _file(self, run: Run, name: str) -> Path:
        return self.home / run.path / name

    def _stacked(
        self, runs: Sequence[Run], name: str, columns: Sequence[str], needed: bool = True
    ) -> pd.DataFrame:
        """Stack one table of all runs, with the arm and the seed in front."""
        tables = [pd.DataFrame(columns=["arm", "seed", *columns])]
        for run in runs:
            path = self._file(run, name)
            if needed or path.is_file():
                table = read_table(present(path), dtype=TEXT)
                table.insert(0, "arm", run.arm)
                table.insert(1, "seed", run.seed)
                tables.append(table)
        filled = [table for table in tables if len(table)]
        stacked = pd.concat(filled, ignore_index=True) if filled else tables[0]
        return stacked.assign(**{column: None for column in columns if column not in stacked})

    def _pair_facts(self, folder: Path, index: pd.MultiIndex, strength: pd.Series) -> pd.DataFrame:
        n_cells = self.store.pairs.set_index(PAIR)[N_CELLS]
        nearest = self._nearest(folder)
        deltas = (self.store.observed_delta(*key) for key in index)
        return pd.DataFrame(
            {
                N_CELLS: [int(n_cells.loc[key]) for key in index],
                "effect_size": [float(np.linalg.norm(delta)) for delta in deltas],
                STRENGTH: strength.reindex(index).to_numpy(),
                "similarity": [nearest.get(name, np.nan) for _, name in index],
            },
            index=index,
        )

    def _nearest(self, folder: Path) -> dict[str, float]:
        """Similarity of each perturbation's first neighbour, in the unspoilt embedding."""
        for name in self.indices:
            if "@" not in name:
                path = present(folder / "index" / name / "neighbours.tsv")
                return dict(read_table(path, dtype=TEXT).groupby(PERTURBATION)["similarity"].max())
        return {}


def mean_scores(table: SplitScores, scored: np.ndarray, index: pd.MultiIndex) -> pd.DataFrame:
    """Index (arm, cell_line, perturbation), one column per metric; mean over seeds."""
    means = {
        arm: pd.DataFrame(cube[scored].mean(axis=2), index=index, columns=table.metrics)
        for arm, cube in table.values.items()
    }
    return pd.concat(means, names=["arm"]).sort_index()


def _mean_evidence(evidence: pd.DataFrame) -> pd.DataFrame:
    keys, values = ["arm", *PAIR, "candidate"], ["rank", "similarity", "gate", "effect"]
    if evidence.empty:
        return pd.DataFrame(columns=[*keys, *values])
    mean = evidence.groupby(keys, as_index=False)[values].mean()
    return mean.sort_values(["arm", *PAIR, "rank", "candidate"], ignore_index=True)


def _notes(evidence: pd.DataFrame) -> pd.DataFrame:
    noted = evidence[evidence["note"].notna() & (evidence["note"] != "")]
    return noted[["arm", *PAIR, "note"]].drop_duplicates(ignore_index=True)


def _target_facts(store: CellStore) -> dict[str, int]:
    """Return how many genes are perturbed, and how many of them are among the columns."""
    targets = {gene for name in store.perturbations for gene in name.split("+")}
    return {"targets": len(targets), "measured_targets": len(targets & set(store.genes))}
