"""Principal components, exact and the same on every run."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh


@dataclass(frozen=True)
class PCA:
    """A projection onto principal components.

    Attributes
    ----------
    mean
        (G,) profile that is subtracted.
    components
        (d, G) orthonormal rows, largest variance first; the largest loading of each is positive.
    """

    mean: np.ndarray
    components: np.ndarray

    def project(self, cells: np.ndarray) -> np.ndarray:
        """Return the (n, d) float64 coordinates of (n, G) ``cells``."""
        return (cells - self.mean) @ self.components.T


def fit_pca(cells: np.ndarray, n_components: int, rows: int = 4096) -> PCA:
    """Fit by the eigenvectors of the covariance of (n, G) ``cells``.

    There are never more components than cells minus one, or genes.
    """
    n, genes = cells.shape
    mean = cells.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((genes, genes))
    for start in range(0, n, rows):
        centred = cells[start : start + rows] - mean
        scatter += centred.T @ centred
    d = min(n_components, genes, n - 1)
    _, vectors = eigh(scatter, subset_by_index=[genes - d, genes - 1])
    components = vectors.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(d), largest])
    return PCA(mean, np.ascontiguousarray(components * signs[:, None]))
