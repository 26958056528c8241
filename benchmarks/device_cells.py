"""Made cells that lie on the device: what a store is to a training, at the paper's size."""

import numpy as np
import torch
from torch import Tensor

LINES, CONTROLS, BATCHES = 4, 20_000, 48


class DeviceCells:
    """Made cells where the network is: what a store and its cells are to a training."""

    def __init__(self, n: int, genes: int, device: torch.device) -> None:
        self.device = device
        generator = torch.Generator(device).manual_seed(0)
        self.X = torch.empty(n, genes, device=device)
        for start in range(0, n, 16_384):
            block = self.X[start : start + 16_384]
            block.normal_(0.0, 1.0, generator=generator).sub_(0.5).clamp_(0, 9)
        rng = np.random.default_rng(0)
        self.batch_codes = rng.integers(0, BATCHES, n).astype(np.int32)
        self._codes = torch.from_numpy(self.batch_codes.astype(np.int64)).to(device)
        self.batches = [str(i) for i in range(BATCHES)]
        self.lines = [f"line{i}" for i in range(LINES)]
        self._of_line = n // LINES
        self._controls = min(CONTROLS, self._of_line // 4)
        self.pairs = [
            (line, f"P{i:04}")
            for line in self.lines
            for i in range(min(1800, (self._of_line - self._controls) // 64 or 1))
        ]
        self._n_pairs = len(self.pairs) // LINES

    def rows(self, line: str, perturbation: str) -> slice:
        """Return the rows of a pair."""
        start = self.lines.index(line) * self._of_line + self._controls
        each = (self._of_line - self._controls) // self._n_pairs
        start += int(perturbation[1:]) * each
        return slice(start, start + each)

    def control_rows(self, line: str, part: str) -> slice:
        """Return the rows of a line's controls."""
        start = self.lines.index(line) * self._of_line
        return slice(start, start + self._controls)

    def expression(self, rows: Tensor) -> Tensor:
        """Return (*rows.shape, G)."""
        return self.X.index_select(0, rows.flatten()).view(*rows.shape, -1)

    def batch_codes_of(self, rows: Tensor) -> Tensor:
        """Return the batch of each row."""
        return self._codes[rows]
