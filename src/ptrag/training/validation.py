"""Metrics on validation pairs, by which a checkpoint is chosen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ptrag.arms.neural.losses import energy_distance
from ptrag.arms.neural.networks import Batch
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.base.correlation import pearson
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import GIVEN
from ptrag.cells.sets import Draw, validation_sets
from ptrag.cells.store import CellStore
from ptrag.training.data import Cells
from ptrag.training.module import moved

#: Metrics and whether more is better.
HIGHER_IS_BETTER = {"energy": False, "mse": False, "pearson_delta": True}


class ValidationPair(NamedTuple):
    """One pair, its cell set, its profiles (G,) float64, and the expert's shift if there is one."""

    draw: Draw
    number: int
    profile: np.ndarray
    control: np.ndarray
    noise: np.ndarray | None
    shift: np.ndarray | None


def validation_pairs(
    store: CellStore,
    pairs: Sequence[tuple[str, str]],
    numbers: np.ndarray,
    perturbations: Perturbations,
    set_size: int,
    noisy: bool,
    shifts: np.ndarray | None = None,
) -> list[ValidationPair]:
    """Return one fixed set per pair, with fixed gate noise where the arm draws at inference.

    ``numbers`` (pairs,) are rows of ``perturbations``; ``shifts`` (pairs, G) those of an expert.
    """
    result = []
    K = perturbations.candidates.shape[1]
    for i, draw in enumerate(validation_sets(store, pairs, set_size)):
        line, name = pairs[i]
        noise = None
        if noisy:
            rng = keyed_rng("validation noise", line, name)
            noise = rng.logistic(size=(1, set_size, K)).astype(np.float32)
        profiles = store.mean(line, name), store.control_mean(line, GIVEN)
        shift = None if shifts is None else shifts[i : i + 1]
        result.append(ValidationPair(draw, int(numbers[i]), *profiles, noise, shift))
    return result


def validate(
    network: nn.Module,
    cells: Cells,
    features: torch.Tensor,
    perturbations: Perturbations,
    pairs: Sequence[ValidationPair],
) -> dict[str, np.ndarray]:
    """Return each metric of every validation pair, (pairs,).

    ``energy`` is the training loss's distance (½ convention) of one cell set; ``mse`` and
    ``pearson_delta`` compare the set's mean prediction with the pair's profile over all its
    cells, deltas being taken from all controls of the line. Each pair is a batch of its own.
    """
    network.eval()
    rows = []
    with torch.inference_mode():
        for pair in pairs:
            distinct, query, candidates = map(
                cells.tensor, perturbations.look_up(np.array([pair.number]))
            )
            control = cells.tensor(pair.draw.control)
            batch = Batch(
                cells.expression(control),
                cells.batch_codes(control),
                features[distinct],
                query,
                candidates,
                None if pair.noise is None else cells.tensor(pair.noise),
            )
            if pair.shift is not None:
                batch = moved(batch, cells.tensor(pair.shift))
            predicted = network(batch).cells.float()
            observed = cells.expression(cells.tensor(pair.draw.perturbed))
            profile = predicted[0].mean(0, dtype=torch.float64).cpu().numpy()
            rows.append(
                (
                    float(energy_distance(predicted, observed)),
                    float(np.square(profile - pair.profile).mean()),
                    pearson(profile - pair.control, pair.profile - pair.control),
                )
            )
    network.train()
    return dict(zip(HIGHER_IS_BETTER, np.array(rows).T, strict=True))
