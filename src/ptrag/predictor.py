"""Predict with a trained network: from anyone's control cells, with evidence.

Axes: n cells, B sets, S cells of a set, G genes, K candidates.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ptrag.cells.sets import keyed_rng
from ptrag.errors import PtragError, did_you_mean
from ptrag.memory import keep_freed_memory
from ptrag.models.networks import Batch, Network
from ptrag.models.perturbations import Perturbations

#: Sets that go through the network at once.
SETS = 32
#: A value of log1p(counts per 10,000) cannot be larger than log1p(10,000) = 9.2.
LARGEST = 15.0


class Prediction(NamedTuple):
    """Predicted cells and why.

    Attributes
    ----------
    cells
        (n, G) float32, one for each control cell.
    evidence
        One row per candidate: candidate, rank, similarity, gate (mean over the cells), effect
        (L2 norm of the change of the mean predicted profile when it is left out). Empty
        without retrieval; None where none was asked for.
    """

    cells: np.ndarray
    evidence: pd.DataFrame | None


class Predictor:
    """A trained arm.

    Parameters
    ----------
    network
        With its weights.
    perturbations
        What it knows of each perturbation.
    about
        Content of ``bundle.json``.
    device
        Where to compute.

    Attributes
    ----------
    genes, lines, batches
        What it was trained on; columns of controls must be ``genes``, in this order.
    """

    def __init__(
        self,
        network: Network,
        perturbations: Perturbations,
        about: dict[str, Any],
        device: torch.device,
    ) -> None:
        keep_freed_memory()
        self.about, self.perturbations, self.device = about, perturbations, device
        self.genes: list[str] = about["genes"]
        self.lines: list[str] = about["lines"]
        self.batches: list[str] = about["batches"]
        self.set_size: int = about["training"]["set_size"]
        # one row more: cells of a batch that was not trained on have the mean of all
        learned = network.batch_embedding.weight.detach()
        network.batch_embedding = nn.Embedding.from_pretrained(
            torch.cat([learned, learned.mean(0, keepdim=True)])
        )
        self.network = network.to(device).eval()
        self._features = torch.from_numpy(perturbations.features).to(device)
        refinement = network.refinement
        self._noisy = refinement is not None and refinement.random_at_inference

    def align(self, X: Any, genes: Sequence[str]) -> np.ndarray:
        """Return the bundle's genes out of expression (n, genes), dense float32.

        Raises
        ------
        PtragError
            If a gene of the bundle is missing, or occurs twice.
        """
        position = pd.Index(genes)
        missing = [gene for gene in self.genes if gene not in position]
        if missing:
            raise PtragError(
                f"controls: {len(missing)} of the bundle's {len(self.genes)} genes are missing, "
                f"first {missing[0]!r} ({did_you_mean(missing[0], position)}); "
                "give all of them, by the same symbols"
            )
        if position.has_duplicates:
            twice = position[position.duplicated()][0]
            raise PtragError(f"controls: gene {twice!r} occurs twice; keep one column of it")
        X = X[:, position.get_indexer(self.genes)]
        return np.asarray(X.todense() if hasattr(X, "todense") else X, dtype=np.float32)

    def predict_cells(
        self,
        controls: np.ndarray,
        perturbation: str,
        *,
        line: str = "",
        batch: Sequence[str] | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        """Return the cells that the controls become; arguments as :meth:`predict`."""
        return self.predict(controls, perturbation, line=line, batch=batch, seed=seed).cells

    def predict(
        self,
        controls: np.ndarray,
        perturbation: str,
        *,
        line: str = "",
        batch: Sequence[str] | None = None,
        seed: int | None = None,
        evidence: bool = False,
    ) -> Prediction:
        """Predict from control cells of one line.

        Parameters
        ----------
        controls
            (n, G) on the bundle's scale, columns :attr:`genes`. Cells are taken in sets of
            the size trained with; the last set is filled up with the first cells again.
        perturbation
            A name that the bundle knows; the parts of a double in any order.
        line
            With the seed and the perturbation, what gate noise depends on, in arms that draw.
        batch
            (n,) names of technical batches; None, or a name not trained on: the mean batch.
        seed
            Of gate noise; None: that of the training.
        evidence
            Measure what each candidate did.

        Raises
        ------
        PtragError
            For an unknown perturbation, or controls that do not fit.
        """
        controls = self._checked(controls)
        number = self.perturbations.number(perturbation)
        cells, gates, changes = [], [], []
        with torch.inference_mode():
            for inputs, asked in self._batches(controls, number, batch, line, seed):
                predicted = self.network(inputs)
                cells.append(predicted.cells.flatten(0, 1)[:asked].cpu().numpy())
                if evidence and predicted.gates is not None:
                    gates.append(predicted.gates.flatten(0, 1)[:asked].cpu().numpy())
                    changes.append(self._left_out(inputs, *predicted, asked))
        table = None
        if evidence:
            table = self._evidence(number, gates, changes)
        return Prediction(np.concatenate(cells), table)

    def _batches(
        self,
        controls: np.ndarray,
        number: int,
        batch: Sequence[str] | None,
        line: str,
        seed: int | None,
    ) -> Iterator[tuple[Batch, int]]:
        """Yield network inputs, and how many of their cells are not there to fill up."""
        n, S = len(controls), self.set_size
        fill = (np.arange(-(-n // S) * S) % n).reshape(-1, S)  # (B, S) cells
        codes = self._codes(batch, n)
        lookup = self.perturbations.look_up(np.array([number]))
        features = self._features[self._tensor(lookup.distinct)]
        noise = None
        if self._noisy:
            key = self.about["seed"] if seed is None else seed
            rng = keyed_rng(key, "gates", line, self.perturbations.names[number])
            noise = rng.logistic(size=(*fill.shape, lookup.candidates.shape[1]))
        for start in range(0, len(fill), SETS):
            rows = fill[start : start + SETS]
            yield (
                Batch(
                    self._tensor(controls[rows]),
                    self._tensor(codes[rows]),
                    features,
                    self._tensor(np.repeat(lookup.query, len(rows))),
                    self._tensor(np.repeat(lookup.candidates, len(rows), axis=0)),
                    None
                    if noise is None
                    else self._tensor(noise[start : start + SETS].astype(np.float32)),
                ),
                min(n - start * S, rows.size),
            )

    def _left_out(self, inputs: Batch, cells: Tensor, gates: Tensor, asked: int) -> np.ndarray:
        """Return the change of the summed profile by leaving out each candidate, (K, G).

        The same noise, and nothing else changed; a gate that no cell opens changes nothing.
        """
        K = gates.shape[2]
        whole = _profile(cells, asked)
        change = torch.zeros(K, cells.shape[2], dtype=torch.float64, device=cells.device)
        for k in torch.nonzero(gates.flatten(0, 1).any(0)).flatten().tolist():
            keep = torch.ones(len(cells), K, dtype=torch.bool, device=cells.device)
            keep[:, k] = False
            change[k] = _profile(self.network(inputs._replace(keep=keep)).cells, asked) - whole
        return change.cpu().numpy()

    def _evidence(
        self, number: int, gates: list[np.ndarray], changes: list[np.ndarray]
    ) -> pd.DataFrame:
        """Put together the gates (cells, K) and the summed changes (K, G) of all batches."""
        known = self.perturbations
        K = known.candidates.shape[1]
        gate, effect = np.empty(0), np.empty(0)
        if K:
            gate = np.concatenate(gates).mean(0, dtype=np.float64)
            effect = np.linalg.norm(sum(changes), axis=1) / sum(len(part) for part in gates)
        return pd.DataFrame(
            {
                "candidate": [known.names[i] for i in known.candidates[number]],
                "rank": np.arange(1, K + 1),
                "similarity": known.similarity[number],
                "gate": gate,
                "effect": effect,
            }
        )

    def _checked(self, controls: np.ndarray) -> np.ndarray:
        controls = np.asarray(controls, dtype=np.float32)
        if controls.ndim != 2 or controls.shape[1] != len(self.genes):
            raise PtragError(
                f"controls: shape {controls.shape}, the bundle has {len(self.genes)} genes; "
                "give cells × these genes (Predictor.align picks them)"
            )
        if not len(controls):
            raise PtragError("controls: there are no cells; give at least one")
        if not np.isfinite(controls).all() or controls.min() < 0:
            raise PtragError(
                "controls: negative or missing values; give log1p of counts per 10,000"
            )
        if controls.max() > LARGEST:
            raise PtragError(
                f"controls: the largest value is {controls.max():.4g}, which looks like counts; "
                "normalise each cell to 10,000 and take log1p"
            )
        return controls

    def _codes(self, batch: Sequence[str] | None, n: int) -> np.ndarray:
        if batch is None:
            unknown = 0 if len(self.batches) == 1 else len(self.batches)
            return np.full(n, unknown, dtype=np.int64)
        if len(batch) != n:
            raise PtragError(f"controls: {len(batch)} batch names for {n} cells; give one each")
        code = {name: i for i, name in enumerate(self.batches)}
        return np.array([code.get(str(name), len(code)) for name in batch], dtype=np.int64)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _profile(cells: Tensor, asked: int) -> Tensor:
    """Sum of the first ``asked`` cells of (B, S, G), float64."""
    return cells.flatten(0, 1)[:asked].sum(0, dtype=torch.float64)
