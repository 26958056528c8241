"""Prediction: cells through a trained network, without evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from child import child, timed
from made import Sizes, network, perturbations

from ptrag.arms.neural.networks import Batch
from ptrag.cells.controls import GIVEN
from ptrag.cells.store import CellStore
from ptrag.prediction.network import NetworkPredictor
from ptrag.prediction.prediction import GivenControls


def case(
    store: str, form: str, cells: int, sizes: list[int], repeats: int, threads: int,
    device: str = "cpu",
) -> dict[str, Any]:  # fmt: skip
    """Time the prediction of ``cells`` cells of one pair, at once or one set at a time."""
    torch.set_num_threads(threads)
    at, there = Sizes(*sizes), CellStore(Path(store))
    known = perturbations(at.candidates)
    made = network("ptrag", at, len(there.batches))
    controls = GivenControls.of_store(there, there.lines[0])
    rows = np.arange(cells) % len(controls.cells)
    if form == "ours":
        about = {
            "genes": there.genes, "lines": there.lines, "batches": there.batches, "seed": 0,
            "training": {"set_size": at.set_size},
        }  # fmt: skip
        predictor = NetworkPredictor(made, known, about, torch.device(device))
        query = predictor._looked_up(known.number("P0001"))

        def work() -> None:
            with torch.inference_mode():  # what `predict` does, without profile and evidence
                predictor._run(controls, rows, query, ("gates",))
    else:
        work = one_set_at_a_time(made, there, known, rows, at.set_size)
    return timed(work, repeats, device) | {"cells": cells}


def one_set_at_a_time(made: Any, store: CellStore, known: Any, rows: np.ndarray, S: int) -> Any:
    """Return a loop over sets in direct form."""
    from direct import DirectNetwork, read

    made = DirectNetwork(made).eval()
    first = store.control_rows(store.lines[0], GIVEN).start
    distinct, query, candidates = known.look_up(np.array([1]))
    features = torch.from_numpy(known.features[distinct])
    query, candidates = torch.from_numpy(query), torch.from_numpy(candidates)

    def work() -> None:
        with torch.no_grad():
            for start in range(0, len(rows), S):
                part = first + rows[start : start + S]
                codes = torch.from_numpy(store.batch_codes[part].astype(np.int64))[None]
                batch = Batch(read(store, part[None]), codes, features, query, candidates)
                made(batch).cells.numpy()

    return work


if __name__ == "__main__":
    child(case)
