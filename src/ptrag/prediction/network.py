"""Predict with a trained network: from given controls, with evidence.

Axes: n cells, B sets, S cells of a set, G genes, K candidates.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ptrag.arms.arm import ClosedForm
from ptrag.arms.estimate import Estimate, Origin, start
from ptrag.arms.neural.networks import SETS, Batch, Network
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.memory import keep_freed_memory
from ptrag.base.names import CONTROL
from ptrag.base.random import keyed_rng
from ptrag.cells.sets import whole_sets
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.checked import check_shape, checked
from ptrag.prediction.network_pass import Query, Run
from ptrag.prediction.prediction import (
    GivenControls,
    Prediction,
    evidence_cells,
    evidence_table,
)
from ptrag.prediction.shift import move_cells


class NetworkPredictor:
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
    genes, batches
        What it was trained on; columns of controls must be ``genes``, in this order.
    """

    def __init__(
        self,
        network: Network,
        perturbations: Perturbations | None,
        about: dict[str, Any],
        device: torch.device,
        expert: ClosedForm | None = None,
    ) -> None:
        keep_freed_memory()
        self.about, self.device = about, device
        self.perturbations, self.expert = perturbations, expert
        self._first_told = perturbations
        self.genes: list[str] = about["genes"]
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

    def check(self, line: str, perturbation: str) -> None:
        """Check that a pair can be predicted.

        Raises
        ------
        PtragError
            For an unknown perturbation or, where an expert needs it, an unknown line.
        """
        if self.perturbations is not None:
            self.perturbations.number(perturbation)
        elif line not in (known := self.expert.responses.lines):
            raise PtragError(
                f"cell line {line!r}: unknown to the expert, which reads responses line by line; "
                f"{did_you_mean(line, known)}"
            )
        elif perturbation == CONTROL:
            raise PtragError(f"perturbation {CONTROL!r}: is none; name a gene")

    def knows(self, perturbation: str) -> bool:
        """Whether a perturbation can be predicted; an expert has a word on any."""
        return self.perturbations is None or perturbation in self.perturbations

    def informed(self, perturbation: str) -> bool:
        """Whether it has learnt of a perturbation, or was given its vector."""
        if self.expert is not None:
            return self.expert.knows(perturbation)
        if perturbation not in self.perturbations:
            return False
        return bool(self.perturbations.features[self.perturbations.number(perturbation)].any())

    def with_line(self, line: str, mean: np.ndarray, se: np.ndarray) -> "NetworkPredictor":
        """Return what predicts in one more line, of which controls alone are known."""
        other = copy(self)
        if self.expert is not None:
            other.expert = self.expert.with_line(line, mean, se)
        return other

    def without_residual(self) -> "NetworkPredictor":
        """Return what predicts by the expert alone, its gate shut: γ = 0 in ReLU(base + γ y).

        What a residual adds to a score is the score with it less the score without it
        (:mod:`ptrag.arms.expert.attribution` has the sources of the expert).
        """
        other = copy(self)
        other.network = deepcopy(self.network)
        with torch.no_grad():
            other.network.gate.zero_()
        return other

    def learn(
        self, embedding: Embedding, candidates: Mapping[str, tuple[list[str], np.ndarray]]
    ) -> None:
        """Take in vectors and candidates of new perturbations; a one-hot arm can take none."""
        if self.expert is not None:
            self.expert.learn(embedding.names, embedding.vectors)
            self.expert.neighbours.learn(candidates)
        elif self.about["options"].get("use_genept"):
            self.perturbations = self._first_told.with_more(embedding, candidates)

    def predict(
        self,
        controls: GivenControls,
        perturbation: str,
        n_cells: int | None = None,
        seed: int | None = None,
    ) -> Prediction:
        """Predict one pair.

        The profile is the mean of what the given controls become (all of them, or
        :data:`ptrag.prediction.prediction.PROFILE_CELLS`); the cells are what those drawn for
        the pair become, in sets of the size trained with; the last set is filled up with the
        first cells again.

        Parameters
        ----------
        controls
            Of one line, columns :attr:`genes`. Cells of a batch that was not trained on, or of
            none, are taken for cells of a mean batch.
        perturbation
            A name that the bundle knows; the parts of a double in any order.
        n_cells
            None: one for each control.
        seed
            Of gate noise; None: that of the training.

        Raises
        ------
        PtragError
            For an unknown perturbation, or controls that do not fit.
        """
        check_shape(controls.cells, len(self.genes))
        self.check(controls.line, perturbation)
        key = (self.about["seed"] if seed is None else seed, "gates", controls.line, perturbation)
        estimate, query, origin = None, None, controls.mean
        if self.perturbations is None:
            estimate = self.expert(controls.line, perturbation)
            origin = start(estimate.origin, controls.mean)
            query = self._expected(estimate.delta, estimate.origin, controls)
        else:
            number = self.perturbations.number(perturbation)
            query = self._looked_up(number)
        rows = controls.drawn(perturbation, n_cells)
        with self._threads(), torch.inference_mode():
            profile = self._run(controls, controls.sample, query, key).profile
            shown = rows if len(rows) else controls.sample  # evidence needs some cells
            run = self._run(controls, shown, query, key, leave_out=estimate is None)
            if estimate is None:
                evidence = self._evidence(number, run)
            else:
                evidence = self._expert_evidence(estimate, controls, shown, key, run.cells)
        return Prediction(profile, profile - origin, run.cells[: len(rows)], rows, evidence)

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Let torch use as many threads as in training, and as before afterwards."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.about["training"]["threads"])
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _expert_evidence(
        self,
        estimate: Estimate,
        controls: GivenControls,
        rows: np.ndarray,
        key: tuple[object, ...],
        cells: np.ndarray,
    ) -> pd.DataFrame:
        """Return what each entry of the expert did to the mean of the first cells of ``rows``."""
        first = self._first(len(rows))
        numbers = first[first < len(rows)]
        profile, changes = cells[numbers].mean(0, dtype=np.float64), []
        for candidate in estimate.candidates:
            query = self._expected(candidate.without, candidate.origin, controls)
            without = self._run(controls, rows[numbers], query, key, first.shape[1]).profile
            effect = np.linalg.norm(without - profile)
            changes.append((candidate.name, candidate.similarity, candidate.weight, effect))
        return evidence_table(changes, estimate.note)

    def _first(self, n: int) -> np.ndarray:
        return evidence_cells(n, self.set_size, self.network.backbone.causal)

    def _looked_up(self, number: int) -> Query:
        lookup = self.perturbations.look_up(np.array([number]))
        features = self._tensor(self.perturbations.features[lookup.distinct])
        return Query(features, int(lookup.query[0]), lookup.candidates[0])

    def _expected(self, delta: np.ndarray, origin: Origin | None, controls: GivenControls) -> Query:
        features = self._tensor(delta[None].astype(np.float32))
        change = start(origin, controls.mean) - controls.mean + delta
        return Query(features, 0, np.empty(0, np.int64), controls.mover.shift(change))

    def _run(
        self,
        controls: GivenControls,
        rows: np.ndarray,
        query: Query,
        key: tuple[object, ...],
        set_size: int | None = None,
        leave_out: bool = False,
    ) -> Run:
        """Predict the cells of ``rows``; with ``leave_out`` what each candidate did, too.

        Sets are as large as in training, or have ``set_size`` cells.
        """
        start = checked(controls.cells[rows])
        codes = self._codes(controls.batches, rows)
        cells, gates, changes = [], [], None
        for inputs, asked in self._batches(start, codes, query, key, set_size or self.set_size):
            predicted = self.network(inputs)
            cells.append(predicted.cells.flatten(0, 1)[:asked].float().cpu().numpy())
            if leave_out and predicted.gates is not None:
                gates.append(predicted.gates.flatten(0, 1)[:asked].cpu().numpy())
                if changes is None:  # SETS sets have more cells than evidence needs
                    changes = self._left_out(inputs, *predicted, asked)
        return Run(np.concatenate(cells), gates, changes)

    def _batches(
        self,
        controls: np.ndarray,
        codes: np.ndarray,
        query: Query,
        key: tuple[object, ...],
        S: int,
    ) -> Iterator[tuple[Batch, int]]:
        """Yield network inputs, and how many of their cells do not only fill up the last set."""
        fill = whole_sets(n := len(controls), S)  # (B, S) cells
        base = None if query.shift is None else move_cells(controls, query.shift)
        noise = None
        if self._noisy:
            noise = keyed_rng(*key).logistic(size=(*fill.shape, len(query.candidates)))
            noise = noise.astype(np.float32)
        for first in range(0, len(fill), SETS):
            rows = fill[first : first + SETS]
            yield (
                Batch(
                    self._tensor(controls[rows]),
                    self._tensor(codes[rows]),
                    query.features,
                    self._tensor(np.full(len(rows), query.query)),
                    self._tensor(np.tile(query.candidates, (len(rows), 1))),
                    None if noise is None else self._tensor(noise[first : first + SETS]),
                    base=None if base is None else self._tensor(base[rows]),
                ),
                min(n - first * S, rows.size),
            )

    def _left_out(self, inputs: Batch, cells: Tensor, gates: Tensor, asked: int) -> np.ndarray:
        """Return the change of the mean of the first cells without each candidate, (K, G).

        The same noise, and nothing else changed; a gate that no cell opens changes nothing.
        """
        first = self._first(asked)
        (sets, size), kept = first.shape, self._tensor(first < asked)

        def mean(cells: Tensor) -> Tensor:
            return cells[kept].mean(0, dtype=torch.float64)

        whole = mean(cells[:sets, :size])
        change = [mean(cells) - whole for cells in self.network.without_each(inputs, sets, size)]
        opened = gates[:sets, :size][kept].any(0)
        return torch.where(opened.unsqueeze(1), torch.stack(change), 0).cpu().numpy()

    def _evidence(self, number: int, run: Run) -> pd.DataFrame:
        """Put together the gates (cells, K) of all batches and the changes (K, G)."""
        known = self.perturbations
        if not known.candidates.shape[1]:
            return evidence_table([])
        gate = np.concatenate(run.gates).mean(0, dtype=np.float64)
        effect = np.linalg.norm(run.changes, axis=1)
        names = [known.names[i] for i in known.candidates[number]]
        return evidence_table(list(zip(names, known.similarity[number], gate, effect, strict=True)))

    def _codes(self, batches: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        """Return the batch of each of ``rows``; the mean batch where it was not trained on."""
        if batches is None:
            unknown = 0 if len(self.batches) == 1 else len(self.batches)
            return np.full(len(rows), unknown, dtype=np.int64)
        code = {name: i for i, name in enumerate(self.batches)}
        return np.array([code.get(str(batches[row]), len(code)) for row in rows], dtype=np.int64)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
