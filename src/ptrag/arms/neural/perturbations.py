"""The perturbations a network knows: their features and their candidates.

Axes: P perturbations, E features, K candidates, B sets, U distinct perturbations of a batch.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.index import Neighbours


class Lookup(NamedTuple):
    """The perturbations of a batch, each distinct one once.

    Attributes
    ----------
    distinct
        (U,) numbers of perturbations.
    query
        (B,) places in ``distinct``.
    candidates
        (B, K) places in ``distinct``.
    """

    distinct: np.ndarray
    query: np.ndarray
    candidates: np.ndarray


@dataclass(frozen=True)
class Perturbations:
    """What is known of each perturbation.

    Attributes
    ----------
    names
        P perturbations.
    features
        (P, E) float32: embedding vectors, or one-hot rows.
    candidates
        (P, K) numbers of each one's neighbours, best first; K = 0 without retrieval.
    similarity
        (P, K) cosine similarity to them.
    """

    names: list[str]
    features: np.ndarray
    candidates: np.ndarray
    similarity: np.ndarray

    @classmethod
    def one_hot(cls, names: Sequence[str], trained: Collection[str]) -> "Perturbations":
        """Give each trained perturbation a column; any other has a row of zeros."""
        features = np.zeros((len(names), len(trained)), dtype=np.float32)
        column = {name: i for i, name in enumerate(sorted(trained))}
        for row, name in enumerate(names):
            if name in column:
                features[row, column[name]] = 1
        none = np.empty((len(names), 0))
        return cls(list(names), features, none.astype(np.int64), none)

    @classmethod
    def embedded(
        cls, embedding: Embedding, neighbours: Neighbours | None = None, top: int | None = None
    ) -> "Perturbations":
        """Take an embedding, and the ``top`` best neighbours where there is retrieval."""
        if neighbours is None:
            none = np.empty((len(embedding.names), 0))
            return cls(embedding.names, embedding.vectors, none.astype(np.int64), none)
        names = neighbours.names
        number = {name: i for i, name in enumerate(names)}
        shape = (len(names), neighbours.k)
        table = neighbours.table
        candidates = table["neighbour"].map(number).to_numpy(np.int64).reshape(shape)
        similarity = table["similarity"].to_numpy(np.float64).reshape(shape)
        features = embedding.vectors[embedding.rows(names)]
        return cls(names, features, candidates[:, :top], similarity[:, :top])

    def with_more(
        self, embedding: Embedding, candidates: Mapping[str, tuple[list[str], np.ndarray]]
    ) -> "Perturbations":
        """Return these and new perturbations, each with its own candidates among these.

        One with fewer candidates than K has the first of them again in the places left.
        """
        K = self.candidates.shape[1]
        numbers = np.empty((len(embedding.names), K), np.int64)
        similarity = np.empty((len(embedding.names), K))
        for row, name in enumerate(embedding.names if K else ()):
            near, cosine = candidates[name]
            places = np.arange(K) * (np.arange(K) < len(near))
            numbers[row] = np.array([self._number[other] for other in near])[places]
            similarity[row] = cosine[places]
        return Perturbations(
            [*self.names, *embedding.names],
            np.concatenate([self.features, embedding.vectors]),
            np.concatenate([self.candidates, numbers]),
            np.concatenate([self.similarity, similarity]),
        )

    @classmethod
    def expected(cls, pairs: Sequence[tuple[str, str]], deltas: np.ndarray) -> "Perturbations":
        """Take what an expert expects of (line, perturbation) pairs, (pairs, G), as features."""
        names = [f"{perturbation} in {line}" for line, perturbation in pairs]
        none = np.empty((len(names), 0))
        return cls(names, deltas.astype(np.float32), none.astype(np.int64), none)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __contains__(self, name: str) -> bool:
        return name in self._number

    def number(self, name: str) -> int:
        """Return a perturbation's row; the parts of a double may come in any order.

        Raises
        ------
        PtragError
            If it is unknown.
        """
        name = "+".join(sorted(name.split("+")))
        if name not in self._number:
            raise PtragError(f"perturbation {name!r}: unknown; {did_you_mean(name, self.names)}")
        return self._number[name]

    def look_up(self, numbers: np.ndarray) -> Lookup:
        """Return queries (B,) and their candidates by distinct perturbation."""
        candidates = self.candidates[numbers]
        every = np.concatenate([numbers, candidates.ravel()])
        distinct, place = np.unique(every, return_inverse=True)
        query, rest = np.split(place, [len(numbers)])
        return Lookup(distinct, query, rest.reshape(candidates.shape))
