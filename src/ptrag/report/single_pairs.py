"""Data of the pages of single pairs, which ``pairs.js`` draws: what is predicted, how sure, why.

Numbers are packed: 16-bit integers with one scale per list, base64. Where a screen is large, each
pair keeps the genes that move most in prediction or measurement, so that the page stays small.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from anndata.io import read_elem
from markupsafe import Markup

from ptrag.base.names import CELL_LINE, N_CELLS, PAIR, PERTURBATION, Pair, Run
from ptrag.cells.controls import GIVEN
from ptrag.cells.store import CellStore
from ptrag.comparison.recommendation import pages_of
from ptrag.evaluation.predictions import Predictions
from ptrag.metrics.pca import PCA
from ptrag.report.evidence import notes_of, strongest, weight_name
from ptrag.report.gather import Results, SplitView, present
from ptrag.report.verdict import place, shown_metrics
from ptrag.report.words import words

BYTES_OF_GENES, BYTES_OF_CELLS = 600_000, 300_000  # packed on the page, about
FEWEST_GENES = 24  # of a pair, whatever the size of the screen
CELLS, FEWEST_CELLS = 40, 12  # real and predicted cells of a pair that are drawn
CONTROL_CELLS = 150  # of a line
MISSING = -32768  # a number that is not there
LARGEST = 32767
UNITS_PER_P = 10  # steps of -log10 p in one byte


def pages(results: Results) -> Markup:
    """Return the data of every scored pair as JSON that may stand inside ``<script>``."""
    store = results.store
    n = [(len(split.pairs), len(pages_of(split.claims))) for split in results.splits.values()]
    # a gene takes two numbers of a pair and three of each arm, a cell two of each
    genes = BYTES_OF_GENES // (3 * sum(pairs * (2 + 3 * arms) for pairs, arms in n) or 1)
    cells = BYTES_OF_CELLS // (4 * sum(pairs * (1 + arms) for pairs, arms in n) or 1)
    n_genes = min(store.n_genes, max(FEWEST_GENES, genes))
    n_cells = min(CELLS, max(FEWEST_CELLS, cells))
    content = {
        "genes": store.genes,
        "simulated": results.simulated,
        "level": results.settings["evaluation"]["coverage"],
        "kept": n_genes,
        "splits": [
            _Split(results, split, store, n_genes, n_cells).content()
            for split in results.splits.values()
        ],
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def packed(values: np.ndarray) -> list[Any]:
    """Return [scale, base64 of little-endian 16-bit integers]; NaN becomes :data:`MISSING`."""
    values = np.asarray(values, np.float64).ravel()
    scale = float(np.nanmax(np.abs(values), initial=0.0)) / LARGEST or 1.0
    whole = np.where(np.isfinite(values), np.rint(values / scale), MISSING).astype("<i2")
    return [float(f"{scale:.6g}"), base64.b64encode(whole.tobytes()).decode()]


def _in_bytes(values: np.ndarray) -> str:
    """Return base64 of values from 0 to 255."""
    return base64.b64encode(np.clip(np.rint(values), 0, 255).astype(np.uint8).tobytes()).decode()


class _Split:
    """Collects the pages of one split."""

    def __init__(
        self, results: Results, split: SplitView, store: CellStore, n_genes: int, n_cells: int
    ) -> None:
        self.results, self.split, self.store = results, split, store
        self.n_genes, self.n_cells = n_genes, n_cells
        self.arms = [arm for arm in pages_of(split.claims) if results.arms[arm].seeds]
        self.metrics = shown_metrics(results)
        with h5py.File(present(results.home / split.name / "reference.h5")) as file:
            self.pca = PCA(file["pca/mean"][:], file["pca/components"][:2])
            names = zip(*(file[f"pairs/{key}"].asstr()[:] for key in PAIR), strict=True)
            self.p = dict(zip((Pair(*name) for name in names), file["pairs/p"][:], strict=True))

    def content(self) -> dict[str, Any]:
        """Return everything of the split."""
        pairs = [Pair(*key) for key in self.split.pairs.index]
        by_arm = {arm: self._predicted(arm, pairs) for arm in self.arms}
        lines = dict.fromkeys(pair.cell_line for pair in pairs)
        return {
            "name": self.split.name,
            "place": place(self.split),
            "arms": [
                {"name": arm, "weight": weight_name(self.results.arms[arm])} for arm in self.arms
            ],
            "metrics": [words(metric).head for metric in self.metrics],
            "controls": {line: self._projected(self._controls(line)) for line in lines},
            "pairs": [self._pair(pair, {a: by_arm[a].get(pair) for a in by_arm}) for pair in pairs],
        }

    def _controls(self, line: str) -> np.ndarray:
        return self.store.controls(line, GIVEN)[:CONTROL_CELLS]

    def _projected(self, cells: np.ndarray) -> list[Any]:
        return packed(self.pca.project(np.asarray(cells, np.float64)))

    def _pair(self, pair: Pair, predicted: Mapping[str, dict[str, Any] | None]) -> dict[str, Any]:
        facts, split = self.split.pairs.loc[tuple(pair)], self.split
        given = [of_arm for of_arm in predicted.values() if of_arm]
        observed = given[0]["observed"] if given else np.zeros(self.store.n_genes)
        moves = np.max([np.abs(observed), *(np.abs(of_arm["delta"]) for of_arm in given)], axis=0)
        kept = np.sort(np.argsort(-moves, kind="stable")[: self.n_genes])
        log_p = -np.log10(np.clip(self.p[pair][kept], 1e-300, 1))
        content = {
            "p": pair.perturbation,
            "l": pair.cell_line,
            "n": int(facts[N_CELLS]),
            "e": _short(facts["effect_size"]),
            "s": _short(facts["similarity"]),
            "o": packed(observed[kept]),
            "v": _in_bytes(UNITS_PER_P * np.nan_to_num(log_p)),
            "c": self._projected(self.store.cells(*pair)[: self.n_cells]),
            "f": _values(split.floor.loc[tuple(pair), self.metrics]),
            "z": _values(split.ceiling.loc[tuple(pair), self.metrics]),
            "a": [self._arm(arm, pair, of_arm, kept) for arm, of_arm in predicted.items()],
        }
        if len(kept) < self.store.n_genes:
            content["i"] = base64.b64encode(kept.astype("<u2").tobytes()).decode()
        return content

    def _arm(
        self, arm: str, pair: Pair, predicted: dict[str, Any] | None, kept: np.ndarray
    ) -> dict[str, Any] | None:
        if predicted is None:
            return None
        rows, support = strongest(self.split, pair, arm), self.split.intervals
        support = support[support["arm"] == arm].set_index(PAIR)["support"].get(tuple(pair), np.nan)
        content = {
            "d": packed(predicted["delta"][kept]),
            "h": packed(predicted["half_width"][kept]),
            "c": self._projected(predicted["cells"]),
            "t": _short(float(np.linalg.norm(predicted["delta"]))),
            "u": _short(support),
            "w": notes_of(self.split, pair, arm),
            "s": _values(self.split.scores.loc[(arm, *pair), self.metrics]),
            "k": [
                [row.candidate, *map(_short, (row.similarity, row.gate, row.effect))]
                for row in rows.itertuples(index=False)
            ],
        }
        if predicted["p_moves"] is not None:
            content["m"] = _in_bytes(255 * predicted["p_moves"][kept])
        return content

    def _predicted(self, arm: str, pairs: Sequence[Pair]) -> dict[Pair, dict[str, Any]]:
        """Read what an arm predicts of each pair: deltas and widths averaged over its seeds."""
        runs = [Run(self.split.name, arm, seed) for seed in self.results.arms[arm].seeds]
        folders = [self.results.home / run.path for run in runs]
        tables = [_deltas(present(folder / "intervals.h5ad")) for folder in folders]
        moves = [_p_moves(present(folder / "profiles.h5ad")) for folder in folders]
        of_pair: dict[Pair, dict[str, Any]] = {}
        emitted = Predictions(present(folders[0] / "predictions.h5ad"), self.store, None)
        with emitted.opened() as read:
            for pair in pairs:
                if not all(pair in table for table in tables) or (cells := read(pair)) is None:
                    continue
                known = [table[pair] for table in moves if pair in table]
                of_pair[pair] = {
                    key: np.mean([table[pair][key] for table in tables], axis=0)
                    for key in ("delta", "half_width", "observed")
                } | {
                    "cells": cells.cells[: self.n_cells],
                    "p_moves": np.mean(known, axis=0) if known else None,
                }
        return of_pair


def _deltas(path: Any) -> dict[Pair, dict[str, np.ndarray]]:
    """Read ``intervals.h5ad``: predicted and observed delta and half-width of each pair."""
    with h5py.File(path) as file:
        pairs = _pairs(file)
        values = {
            "delta": file["X"][:],
            "half_width": file["layers/half_width"][:],
            "observed": file["layers/observed"][:],
        }
    return {pair: {key: of[i] for key, of in values.items()} for i, pair in enumerate(pairs)}


def _p_moves(path: Any) -> dict[Pair, np.ndarray]:
    """Read the probability that each gene moves; empty for an arm that does not know it."""
    with h5py.File(path) as file:
        if "p_moves" not in file.get("layers", ()):
            return {}
        rows = zip(_pairs(file), file["layers/p_moves"][:], strict=True)
        return {pair: row for pair, row in rows if np.isfinite(row).all()}


def _pairs(file: h5py.File) -> list[Pair]:
    obs = read_elem(file["obs"])
    return [*map(Pair, obs[CELL_LINE].astype(str), obs[PERTURBATION].astype(str))]


def _short(value: float) -> float | None:
    """Return four digits of a number; None where it is missing."""
    return float(f"{value:.4g}") if value is not None and np.isfinite(value) else None


def _values(row: Any) -> list[float | None]:
    return [_short(value) for value in row]
