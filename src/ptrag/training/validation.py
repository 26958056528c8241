"""Metrics on validation pairs, by which a checkpoint is chosen and a plateau is seen.

Nothing is drawn: what a network predicts from *all* given controls of a line is compared with all
cells of the pair (of either :data:`ptrag.prediction.prediction.PROFILE_CELLS` at most), so that two
validations differ by the weights alone. The yardstick controls belong to evaluation and are not
read; so the control profile's noise stands on both sides of ``pearson_delta`` here, which is
therefore a little too high, alike for all weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ptrag.arms.neural.losses import mean_of_distinct, unbiased_energy
from ptrag.arms.neural.networks import SETS, Batch
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.base.correlation import pearson
from ptrag.base.random import keyed_rng
from ptrag.cells.controls import GIVEN
from ptrag.cells.sets import whole_sets
from ptrag.cells.store import CellStore
from ptrag.prediction.prediction import evenly
from ptrag.training.data import Cells
from ptrag.training.module import moved

#: Metrics and whether more is better.
HIGHER_IS_BETTER = {"mse": False, "energy": False, "pearson_delta": True}


@dataclass(frozen=True)
class ValidationPair:
    """One pair, and what its prediction is measured against.

    Attributes
    ----------
    number
        Row of ``Perturbations``.
    control
        (n,) rows of the store: the given controls that are predicted from.
    perturbed
        (m,) rows of the store: the pair's cells.
    real_spread
        Mean distance of distinct cells of ``perturbed``.
    profile, control_profile
        (G,) float64: the mean of all cells of the pair, and of all given controls of its line.
    noise
        (sets, S, K) gate noise of an arm that draws at inference, the same at every validation;
        None for others.
    shift
        (1, G) by which an expert moves the controls, or None.
    """

    number: int
    control: np.ndarray
    perturbed: np.ndarray
    real_spread: float
    profile: np.ndarray
    control_profile: np.ndarray
    noise: np.ndarray | None
    shift: np.ndarray | None


def validation_pairs(
    store: CellStore,
    pairs: Sequence[tuple[str, str]],
    numbers: np.ndarray,
    noise_shape: tuple[int, int] | None,
    shifts: np.ndarray | None = None,
) -> list[ValidationPair]:
    """Return the pairs as they are validated on.

    Parameters
    ----------
    store
        The cells.
    pairs, numbers
        (line, perturbation) of each pair, and its row of ``Perturbations``.
    noise_shape
        (S, K) of gates that are drawn at inference; None where nothing is drawn.
    shifts
        (pairs, G) of an expert, or None.
    """
    result = []
    for i, (line, name) in enumerate(pairs):
        controls, block = store.control_rows(line, GIVEN), store.rows(line, name)
        control = controls.start + evenly(controls.stop - controls.start)
        perturbed = block.start + evenly(block.stop - block.start)
        noise = None
        if noise_shape is not None:
            shape = (-(-len(control) // noise_shape[0]), *noise_shape)
            rng = keyed_rng("validation noise", line, name)
            noise = rng.logistic(size=shape).astype(np.float32)
        result.append(
            ValidationPair(
                int(numbers[i]), control, perturbed,
                float(mean_of_distinct(torch.from_numpy(store.X[perturbed]))),
                store.mean(line, name), store.control_mean(line, GIVEN), noise,
                None if shifts is None else shifts[i : i + 1],
            )
        )  # fmt: skip
    return result


def validate(
    network: nn.Module,
    cells: Cells,
    features: Tensor,
    perturbations: Perturbations,
    pairs: Sequence[ValidationPair],
    set_size: int,
) -> dict[str, np.ndarray]:
    """Return each metric of every validation pair, {metric: (pairs,)}.

    ``mse`` and ``pearson_delta`` compare the mean prediction with the pair's profile, deltas
    being taken from the given controls; ``energy`` is the textbook distance with within-terms
    over distinct cells, on all genes. Each pair is predicted by itself, with dropout off.

    Parameters
    ----------
    network
        With the weights to judge; left in training mode.
    cells, features
        The store's cells, and (P, E) features of all perturbations, where the network is.
    perturbations
        Candidates of all perturbations.
    pairs
        Of :func:`validation_pairs`.
    set_size
        S: cells go through the network in sets of this size, as in training and prediction.
    """
    network.eval()
    rows = []
    with torch.inference_mode():
        for pair in pairs:
            inputs = _batches(cells, features, perturbations, pair, set_size)
            predicted = torch.cat([network(batch).cells.float().flatten(0, 1) for batch in inputs])
            rows.append(_scores(predicted[: len(pair.control)], cells, pair))
    network.train()
    return dict(zip(HIGHER_IS_BETTER, np.array(rows).T, strict=True))


def _scores(predicted: Tensor, cells: Cells, pair: ValidationPair) -> tuple[float, float, float]:
    """Return the metrics of (n, G) predicted cells, in the order of :data:`HIGHER_IS_BETTER`."""
    observed = cells.expression(cells.tensor(pair.perturbed))
    profile = predicted.mean(0, dtype=torch.float64).cpu().numpy()
    return (
        float(np.square(profile - pair.profile).mean()),
        float(unbiased_energy(predicted, observed, pair.real_spread)),
        pearson(profile - pair.control_profile, pair.profile - pair.control_profile),
    )


def _batches(
    cells: Cells,
    features: Tensor,
    perturbations: Perturbations,
    pair: ValidationPair,
    set_size: int,
) -> Iterator[Batch]:
    """Yield the pair's controls in whole sets, as many at once as in prediction."""
    distinct, query, candidates = map(cells.tensor, perturbations.look_up(np.array([pair.number])))
    sets = pair.control[whole_sets(len(pair.control), set_size)]
    for start in range(0, len(sets), SETS):
        control = cells.tensor(sets[start : start + SETS])
        batch = Batch(
            cells.expression(control),
            cells.batch_codes(control),
            features[distinct],
            query.expand(len(control)),
            candidates.expand(len(control), -1),
            None if pair.noise is None else cells.tensor(pair.noise[start : start + SETS]),
        )
        yield batch if pair.shift is None else moved(batch, cells.tensor(pair.shift))
