"""What one training step reads."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset

from ptrag.arms.neural.perturbations import Perturbations
from ptrag.cells.sets import Draw, SetSampler
from ptrag.cells.store import CellStore


class Step(NamedTuple):
    """One batch, as row numbers; B sets, S cells, U distinct perturbations, K candidates.

    Attributes
    ----------
    number
        Of the step, from 0.
    pair
        (B,) number of each set's pair.
    control, perturbed
        (B, S) rows of the store.
    distinct
        (U,) numbers of perturbations.
    query, candidates
        (B,) and (B, K) places in ``distinct``.
    """

    number: int
    pair: np.ndarray
    control: np.ndarray
    perturbed: np.ndarray
    distinct: np.ndarray
    query: np.ndarray
    candidates: np.ndarray


class Steps(Dataset):
    """The steps of a training from ``start`` on; step t is a pure function of seed and t.

    Of several processes, each takes its share of the sets of every step.
    """

    def __init__(
        self,
        sampler: SetSampler,
        perturbations: Perturbations,
        numbers: np.ndarray,
        start: int,
        stop: int,
    ) -> None:
        self._sampler, self._perturbations = sampler, perturbations
        self._numbers = numbers  # (pairs,) perturbation of each pair
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> Step:
        if not 0 <= index < len(self):
            raise IndexError(index)
        step = self._start + index
        rank, world = process()
        share = self._sampler.sets // world
        draw = Draw(*(rows[rank * share : (rank + 1) * share] for rows in self._sampler.draw(step)))
        return Step(step, *draw, *self._perturbations.look_up(self._numbers[draw.pair]))


def process() -> tuple[int, int]:
    """Return the number of this process among those that train together, and how many."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class Cells:
    """The store's cells by row number: in memory that is mapped, or whole on a GPU if it fits.

    Parameters
    ----------
    store
        Open cell store.
    device
        Where cells are wanted.
    """

    def __init__(self, store: CellStore, device: torch.device) -> None:
        self.device = device
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self._X = torch.from_numpy(np.asarray(store.X))
        self._codes = torch.from_numpy(store.batch_codes.astype(np.int64))
        if device.type == "cuda" and self._X.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
            self._X, self._codes = self._X.to(device), self._codes.to(device)

    def expression(self, rows: Tensor) -> Tensor:
        """Return (*rows.shape, G) float32."""
        flat = rows.to(self._X.device).flatten()
        return self._X.index_select(0, flat).view(*rows.shape, -1).to(self.device)

    def batch_codes(self, rows: Tensor) -> Tensor:
        """Return the technical batch of each row, int64."""
        return self._codes[rows.to(self._codes.device)].to(self.device)

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return an array where the cells are wanted."""
        return torch.from_numpy(array).to(self.device)
