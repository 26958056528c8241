"""Predict with a trained network: from anyone's control cells, with evidence.

Axes: n cells, B sets, S cells of a set, G genes, K candidates.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ptrag.arms.estimate import Estimate
from ptrag.arms.neural.networks import SETS, Batch, Network
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.memory import keep_freed_memory
from ptrag.base.names import CONTROL
from ptrag.base.random import keyed_rng
from ptrag.prediction.emission import shift_cells

#: A value of log1p(counts per 10,000) cannot be larger than log1p(10,000) = 9.2.
LARGEST = 15.0


#: What an expert expects of (line, perturbation).
Expert = Callable[[str, str], Estimate]


class Prediction(NamedTuple):
    """Predicted cells and why.

    Attributes
    ----------
    cells
        (n, G) float32, one for each control cell.
    evidence
        One row per candidate: candidate, rank, similarity, gate (mean over the cells; an
        expert's coefficient ω), effect (L2 norm of the change of the mean predicted profile when
        it is left out), note (what an expert fell back on). Empty without retrieval; None where
        none was asked for.
    """

    cells: np.ndarray
    evidence: pd.DataFrame | None


class _Query(NamedTuple):
    """What the network is told besides the control cells.

    Attributes
    ----------
    features
        (U, E) on the device.
    query
        Row of ``features`` that is asked for.
    candidates
        (K,) rows of its candidates.
    base
        (n, G) the expert's cells, or None.
    """

    features: Tensor
    query: int
    candidates: np.ndarray
    base: np.ndarray | None = None


class Predictor:
    """A trained arm.

    Parameters
    ----------
    network
        With its weights.
    perturbations
        What it knows of each perturbation; None for an arm with an expert.
    about
        Content of ``bundle.json``.
    device
        Where to compute.
    expert
        What it knows of each pair; None for arms without.

    Attributes
    ----------
    genes, lines, batches
        What it was trained on; columns of controls must be ``genes``, in this order.
    """

    def __init__(
        self,
        network: Network,
        perturbations: Perturbations | None,
        about: dict[str, Any],
        device: torch.device,
        expert: Expert | None = None,
    ) -> None:
        keep_freed_memory()
        self.about, self.device = about, device
        self.perturbations, self.expert = perturbations, expert
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

    def check(self, line: str, perturbation: str) -> None:
        """Check that a pair can be predicted.

        Raises
        ------
        PtragError
            For an unknown perturbation or, where an expert needs it, an unknown line.
        """
        if self.perturbations is not None:
            self.perturbations.number(perturbation)
        elif line not in self.lines:
            raise PtragError(
                f"cell line {line!r}: unknown to the bundle, whose expert reads responses line by "
                f"line; name the line of the controls ({did_you_mean(line, self.lines)})"
            )
        elif perturbation == CONTROL:
            raise PtragError(f"perturbation {CONTROL!r}: is none; name a gene")

    def knows(self, perturbation: str) -> bool:
        """Whether a perturbation can be predicted; an expert has a word on any."""
        return self.perturbations is None or perturbation in self.perturbations

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
        mean: np.ndarray | None = None,
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
        mean
            (G,) of all controls that these were drawn from, where more are known: an expert's
            deltas are added to it. None: the mean of these.
        evidence
            Measure what each candidate did.

        Raises
        ------
        PtragError
            For an unknown perturbation, or controls that do not fit.
        """
        controls = self._checked(controls)
        self.check(line, perturbation)
        codes = self._codes(batch, len(controls))
        estimate = None
        if self.perturbations is None:
            estimate = self.expert(line, perturbation)
            query = self._expected(estimate.delta, controls, mean)
        else:
            number = self.perturbations.number(perturbation)
            query = self._looked_up(number)
        key = (self.about["seed"] if seed is None else seed, "gates", line, perturbation)
        with torch.inference_mode():
            run = self._run(controls, codes, query, key, evidence)
            if not evidence:
                return Prediction(run.cells, None)
            if estimate is None:
                return Prediction(run.cells, self._evidence(number, run))
            effects = [
                np.linalg.norm(
                    self._run(controls, codes, self._expected(without, controls, mean), key).profile
                    - run.profile
                )
                for *_, without in estimate.candidates
            ]
        return Prediction(run.cells, _expert_evidence(estimate, effects))

    def _looked_up(self, number: int) -> _Query:
        lookup = self.perturbations.look_up(np.array([number]))
        features = self._tensor(self.perturbations.features[lookup.distinct])
        return _Query(features, int(lookup.query[0]), lookup.candidates[0])

    def _expected(self, delta: np.ndarray, controls: np.ndarray, mean: np.ndarray | None) -> _Query:
        features = self._tensor(delta[None].astype(np.float32))
        return _Query(features, 0, np.empty(0, np.int64), shift_cells(controls, delta, mean))

    def _run(
        self,
        controls: np.ndarray,
        codes: np.ndarray,
        query: _Query,
        key: tuple[object, ...],
        leave_out: bool = False,
    ) -> "_Run":
        """Predict all cells; with ``leave_out`` what each candidate did, too."""
        cells, gates, changes = [], [], []
        for inputs, asked in self._batches(controls, codes, query, key):
            predicted = self.network(inputs)
            cells.append(predicted.cells.flatten(0, 1)[:asked].float().cpu().numpy())
            if leave_out and predicted.gates is not None:
                gates.append(predicted.gates.flatten(0, 1)[:asked].cpu().numpy())
                changes.append(self._left_out(inputs, *predicted, asked))
        return _Run(np.concatenate(cells), gates, changes)

    def _batches(
        self,
        controls: np.ndarray,
        codes: np.ndarray,
        query: _Query,
        key: tuple[object, ...],
    ) -> Iterator[tuple[Batch, int]]:
        """Yield network inputs, and how many of their cells are not there to fill up."""
        n, S = len(controls), self.set_size
        fill = (np.arange(-(-n // S) * S) % n).reshape(-1, S)  # (B, S) cells
        noise = None
        if self._noisy:
            noise = keyed_rng(*key).logistic(size=(*fill.shape, len(query.candidates)))
            noise = noise.astype(np.float32)
        for start in range(0, len(fill), SETS):
            rows = fill[start : start + SETS]
            yield (
                Batch(
                    self._tensor(controls[rows]),
                    self._tensor(codes[rows]),
                    query.features,
                    self._tensor(np.full(len(rows), query.query)),
                    self._tensor(np.tile(query.candidates, (len(rows), 1))),
                    None if noise is None else self._tensor(noise[start : start + SETS]),
                    base=None if query.base is None else self._tensor(query.base[rows]),
                ),
                min(n - start * S, rows.size),
            )

    def _left_out(self, inputs: Batch, cells: Tensor, gates: Tensor, asked: int) -> np.ndarray:
        """Return the change of the summed profile by leaving out each candidate, (K, G).

        The same noise, and nothing else changed; a gate that no cell opens changes nothing.
        """
        whole = _profile(cells, asked)
        change = [_profile(its, asked) - whole for its in self.network.without_each(inputs)]
        opened = gates.flatten(0, 1)[:asked].any(0)
        return torch.where(opened.unsqueeze(1), torch.stack(change), 0).cpu().numpy()

    def _evidence(self, number: int, run: "_Run") -> pd.DataFrame:
        """Put together the gates (cells, K) and the summed changes (K, G) of all batches."""
        known = self.perturbations
        K = known.candidates.shape[1]
        gate, effect = np.empty(0), np.empty(0)
        if K:
            gate = np.concatenate(run.gates).mean(0, dtype=np.float64)
            effect = np.linalg.norm(sum(run.changes), axis=1) / len(run.cells)
        return pd.DataFrame(
            {
                "candidate": [known.names[i] for i in known.candidates[number]],
                "rank": np.arange(1, K + 1),
                "similarity": known.similarity[number],
                "gate": gate,
                "effect": effect,
                "note": "",
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


class _Run(NamedTuple):
    """The predicted cells (n, G), and per batch gates (cells, K) and summed changes (K, G)."""

    cells: np.ndarray
    gates: list[np.ndarray]
    changes: list[np.ndarray]

    @property
    def profile(self) -> np.ndarray:
        """Mean of the cells, (G,) float64."""
        return self.cells.mean(axis=0, dtype=np.float64)


def _expert_evidence(estimate: Estimate, effects: Sequence[float]) -> pd.DataFrame:
    """One row per candidate, or one without a candidate that says what was fallen back on."""
    table = pd.DataFrame(
        {
            "candidate": [its.name for its in estimate.candidates],
            "rank": range(1, len(effects) + 1),
            "similarity": [its.similarity for its in estimate.candidates],
            "gate": [its.weight for its in estimate.candidates],
            "effect": effects,
            "note": estimate.note,
        }
    )
    if estimate.note and not len(table):
        table.loc[0] = [None, None, None, None, None, estimate.note]
    return table


def _profile(cells: Tensor, asked: int) -> Tensor:
    """Sum of the first ``asked`` cells of (B, S, G), float64."""
    return cells.flatten(0, 1)[:asked].sum(0, dtype=torch.float64)
