"""How like two perturbations are by their vectors: cosines, and a kernel for regressions."""

from collections.abc import Mapping, Sequence

import numpy as np

from ptrag.genes.embeddings import Embedding

WIDTH = 0.5  # of the kernel, in median distances between training perturbations


class TextSimilarity:
    """T(p, q) of any two perturbations; without a vector a perturbation is like itself alone.

    Sentence encoders tell genes apart in hundreds of directions, most of which say little of
    what the genes do. So the unit vectors ê are turned to ẽ = (ê − ē) Σ^½, with ē and Σ their
    mean and covariance over the training perturbations: directions in which many of them differ
    count more. T = exp(−(1 − cos(ẽ_p, ẽ_q)) / width).

    Parameters
    ----------
    embedding
        The vectors.
    names
        Training perturbations.
    width
        By default half the median of 1 − cos over pairs of ``names``.
    """

    def __init__(
        self, embedding: Embedding, names: Sequence[str], width: float | None = None
    ) -> None:
        self._name(embedding.names)
        self._unit = _unit(embedding.vectors.astype(np.float64))
        known = self._rows([name for name in names if name in self._row])
        trained = self._unit[known] if len(known) else self._unit
        self._centre = trained.mean(axis=0)
        _, lengths, directions = np.linalg.svd(trained - self._centre, full_matrices=False)
        self._turn = directions.T * lengths
        self._turned = _unit((self._unit - self._centre) @ directions.T * lengths)
        self._n_fitted = len(self._unit)
        self.width = width or WIDTH * self._spread(known)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name; :meth:`of_arrays` undoes it."""
        n = self._n_fitted
        return {
            "names": np.array(list(self._row)[:n], dtype=str),
            "unit": self._unit[:n],
            "turned": self._turned[:n],
            "centre": self._centre,
            "turn": self._turn,
            "width": np.array(self.width),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TextSimilarity":
        """Return the likeness of :meth:`arrays`, as it was: nothing is worked out anew."""
        restored = cls.__new__(cls)
        restored._name(arrays["names"].tolist())
        restored._unit, restored._turned = arrays["unit"], arrays["turned"]
        restored._centre, restored._turn = arrays["centre"], arrays["turn"]
        restored._n_fitted = len(restored._unit)
        restored.width = float(arrays["width"])
        return restored

    def learn(self, names: Sequence[str], vectors: np.ndarray) -> None:
        """Take in perturbations that were not there when this was fitted; nothing is fitted anew.

        What was learnt by an earlier call is forgotten, so that memory does not grow. Each is
        turned by itself: its likeness does not depend on which others are learnt with it.

        Parameters
        ----------
        names
            n perturbations, none of them known from the start.
        vectors
            (n, E) theirs.
        """
        n = self._n_fitted
        self._name([*list(self._row)[:n], *names])
        unit = _unit(vectors.astype(np.float64))
        turned = [(row - self._centre) @ self._turn for row in unit]
        self._unit = np.concatenate([self._unit[:n], unit])
        turned = np.array(turned).reshape(len(names), self._turn.shape[1])
        self._turned = np.concatenate([self._turned[:n], _unit(turned)])

    def _name(self, names: Sequence[str]) -> None:
        self._row = {name: i for i, name in enumerate(names)}

    def __contains__(self, name: str) -> bool:
        return name in self._row

    def cosine(self, names: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """(n, m) cosines of the vectors as they are, NaN where either has none."""
        return self._between(self._unit, names, others)

    def kernel(self, names: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """(n, m) values of T."""
        similar = np.exp((self._between(self._turned, names, others) - 1) / self.width)
        same = np.array(names)[:, None] == np.array(others)[None]
        return np.where(same, 1.0, np.nan_to_num(similar))

    def _between(
        self, vectors: np.ndarray, names: Sequence[str], others: Sequence[str]
    ) -> np.ndarray:
        rows, columns = self._rows(names), self._rows(others)
        cosine = vectors[rows] @ vectors[columns].T
        cosine[rows < 0] = np.nan
        cosine[:, columns < 0] = np.nan
        return cosine

    def _rows(self, names: Sequence[str]) -> np.ndarray:
        return np.array([self._row.get(name, -1) for name in names], np.int64)

    def _spread(self, rows: np.ndarray) -> float:
        if len(rows) < 2:
            return 1.0
        cosine = self._turned[rows] @ self._turned[rows].T
        return max(float(np.median(1 - cosine[np.triu_indices(len(rows), 1)])), 1e-6)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one; a row of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
