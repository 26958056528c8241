"""The keys of an index that are nearest to any vector, by cosine, in one order on every machine."""

from collections.abc import Callable, Sequence
from itertools import islice

import faiss
import numpy as np

from ptrag.genes.embeddings import Embedding


class Keys:
    """Perturbations that may be candidates, in an exact inner-product index of unit vectors.

    Parameters
    ----------
    embedding
        Where their vectors are.
    names
        The keys; equal similarities are ranked in their order.
    """

    def __init__(self, embedding: Embedding, names: Sequence[str]) -> None:
        self.names = list(names)
        unit = unit_rows(embedding.vectors[embedding.rows(self.names)])
        self.index = faiss.IndexFlatIP(unit.shape[1])
        self.index.add(unit)

    def ranked(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of all keys, best first, and their cosines; both (n, keys).

        The whole index is ranked (it has a few thousand rows at most), so that a tie at the cut is
        broken by key and not by the order of faiss's heap. Float32 products of equal vectors differ
        in the last digits, hence six decimals.
        """
        D, I = self.index.search(unit_rows(vectors), len(self.names))  # noqa: E741
        D = np.round(D.astype(np.float64), 6)
        order = np.array([np.lexsort((keys, -near)) for keys, near in zip(I, D, strict=True)])
        return np.take_along_axis(I, order, 1), np.take_along_axis(D, order, 1)

    def nearest(
        self, vector: np.ndarray, k: int, is_same: Callable[[str], bool]
    ) -> tuple[list[str], np.ndarray]:
        """Return the k nearest keys to one (E,) vector, without those that are the same gene."""
        numbers, similarity = (part[0] for part in self.ranked(vector[None]))
        others = (j for j, number in enumerate(numbers) if not is_same(self.names[number]))
        kept = list(islice(others, k))  # names are read until k are found, not of all keys
        return [self.names[numbers[j]] for j in kept], similarity[kept]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """(n, E) rows scaled to length one in float64, then float32."""
    wide = vectors.astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
