"""Deltas as the arms predict them, read from their profiles."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from anndata.io import read_elem

from ptrag.base.names import DELTA, PAIR, Pair, Run
from ptrag.report.files import present
from ptrag.report.gather import Results


def predicted_deltas(
    results: Results, split: str, pairs: Sequence[Pair], arms: Iterable[str]
) -> dict[str, dict[Pair, np.ndarray]]:
    """Return {arm: {pair: (G,) predicted delta}}, averaged over seeds."""
    deltas: dict[str, dict[Pair, np.ndarray]] = {}
    for arm in arms:
        files = [
            results.home / Run(split, arm, seed).path / "profiles.h5ad"
            for seed in results.arms[arm].seeds
        ]
        by_seed = [_deltas(present(file), pairs) for file in files]
        deltas[arm] = {
            pair: np.mean([of_seed[pair] for of_seed in by_seed], axis=0)
            for pair in pairs
            if all(pair in of_seed for of_seed in by_seed)
        }
    return deltas


def _deltas(path: Path, pairs: Sequence[Pair]) -> dict[Pair, np.ndarray]:
    """Return the (G,) predicted deltas of some pairs, reading only their rows."""
    with h5py.File(path, "r") as file:
        obs = read_elem(file["obs"])
        rows = {Pair(*key): row for row, key in enumerate(zip(*map(obs.get, PAIR), strict=True))}
        return {pair: file["layers"][DELTA][rows[pair]] for pair in pairs if pair in rows}
