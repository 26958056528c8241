"""What a network is told of the pairs it trains and validates on.

An arm without an expert knows perturbations, by one-hot or embedding, with their candidates. An
arm with an expert (``fit`` and ``build``) knows each pair's expected delta δ̂, and its cells are
the residual to those of the expert. A training pair's δ̂ is the leave-one-out one, so that its
own cells never serve it.
"""

import logging
from dataclasses import dataclass

import numpy as np

from ptrag.arms.arm import ClosedForm
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding, read_embedding
from ptrag.prediction.prediction import GivenControls
from ptrag.retrieval.index import Neighbours, read_neighbours
from ptrag.splits.leakage import audit_responses
from ptrag.splits.protocols import Split
from ptrag.training.expected import expect, read_expected
from ptrag.training.job import TrainingJob

Pair = tuple[str, str]

logger = logging.getLogger("ptrag")


@dataclass(frozen=True)
class Known:
    """Pairs by role, and what is known of them.

    Attributes
    ----------
    perturbations
        Features and candidates.
    pairs
        {``train``, ``val``: (line, perturbation)}.
    numbers
        {role: (pairs,) row of each in ``perturbations``}.
    shifts
        {role: (pairs, G) float32, by which the expert moves the line's controls}; None without
        an expert.
    expert
        The fitted expert, or None.
    """

    perturbations: Perturbations
    pairs: dict[str, list[Pair]]
    numbers: dict[str, np.ndarray]
    shifts: dict[str, np.ndarray] | None = None
    expert: ClosedForm | None = None

    @property
    def validates_unseen(self) -> bool:
        """Whether a validation perturbation is trained on in no line."""
        trained = {perturbation for _, perturbation in self.pairs["train"]}
        return any(perturbation not in trained for _, perturbation in self.pairs["val"])


def know(job: TrainingJob, store: CellStore, split: Split) -> Known:
    """Return what an arm is told.

    Raises
    ------
    PtragError
        If the arm's options ask for a file that is not given, or no pair is left.
    """
    options = job.options
    if options.get("use_genept") and job.embedding is None:
        raise PtragError(f"arm {job.arm!r}: use_genept is true but there is no embedding; name one")
    if options.get("rag") and job.index is None:
        raise PtragError(f"arm {job.arm!r}: rag is true but there is no index; build one")
    pairs = {role: _pairs(job.arm, split, role) for role in ("train", "val")}
    embedding = job.embedding and read_embedding(job.embedding)
    neighbours = job.index and read_neighbours(job.index)
    if load_arm(job.arm).fit is not None:
        return _by_expert(job, store, split, pairs, embedding, neighbours)
    if options.get("use_genept"):
        known = Perturbations.embedded(embedding, neighbours, options.get("topk_rag"))
    else:
        known = Perturbations.one_hot(store.perturbations, split.perturbations("train"))
    pairs = {role: _kept(job.arm, role, of_role, known) for role, of_role in pairs.items()}
    numbers = {
        role: np.array([known.number(p) for _, p in of_role]) for role, of_role in pairs.items()
    }
    return Known(known, pairs, numbers)


def _pairs(arm: str, split: Split, role: str) -> list[Pair]:
    pairs = split.pairs(role)
    if not pairs:
        raise PtragError(f"{arm}: the split has no {role} pair; change its fractions or lists")
    return pairs


def _kept(arm: str, role: str, pairs: list[Pair], known: Perturbations) -> list[Pair]:
    """Return the pairs of a role whose perturbation has a vector; say how many have none."""
    kept = [pair for pair in pairs if pair[1] in known]
    if len(kept) < len(pairs):
        logger.info("%s: %d %s pairs have no vector", arm, len(pairs) - len(kept), role)
    if not kept:
        raise PtragError(
            f"{arm}: no {role} pair has a vector; check the split and the embedding's coverage.tsv"
        )
    return kept


def _by_expert(
    job: TrainingJob,
    store: CellStore,
    split: Split,
    pairs: dict[str, list[Pair]],
    embedding: Embedding | None,
    neighbours: Neighbours | None,
) -> Known:
    if job.fitted is not None:
        expert = load_arm(job.arm).read(job.fitted)
        expected = read_expected(job.expected)
    else:
        responses = Responses.measured(store, split)
        audit_responses(split, responses.entries)
        expert = load_arm(job.arm).fit(responses, embedding, neighbours, job.options)
        expected = expect(expert, pairs["val"])
    deltas = {"train": expected.train, "val": expected.val}
    changes = {"train": expected.train_change, "val": expected.val_change}
    numbers = np.arange(sum(map(len, pairs.values())))
    numbers = dict(zip(pairs, np.split(numbers, [len(pairs["train"])]), strict=True))
    known = Perturbations.expected(
        [*pairs["train"], *pairs["val"]], np.concatenate([*deltas.values()])
    )
    movers = {line: GivenControls.of_store(store, line).mover for line in store.lines}
    shifts = {
        role: np.array(
            [
                movers[line].shift(change)
                for (line, _), change in zip(pairs[role], changes[role], strict=True)
            ],
            np.float32,
        )
        for role in pairs
    }
    return Known(known, pairs, numbers, shifts, expert)
