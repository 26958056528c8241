"""Principal components, exact and the same on every run."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, qr


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

    There are never more components than cells minus one, or genes. With fewer cells than genes
    they come from the products of cells, a smaller matrix of the same spectrum.
    """
    n, genes = cells.shape
    mean = cells.mean(axis=0, dtype=np.float64)
    d = min(n_components, genes, n - 1)
    if n < genes:
        centred = cells - mean
        components = qr(centred.T @ _leading(centred @ centred.T, d), mode="economic")[0].T
    else:
        scatter = np.zeros((genes, genes))
        for start in range(0, n, rows):
            centred = cells[start : start + rows] - mean
            scatter += centred.T @ centred
        components = _leading(scatter, d).T
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(d), largest])
    return PCA(mean, np.ascontiguousarray(components * signs[:, None]))


def _leading(matrix: np.ndarray, d: int) -> np.ndarray:
    """(n, d) eigenvectors of the largest eigenvalues of a symmetric matrix, largest first."""
    n = len(matrix)
    return eigh(matrix, subset_by_index=[n - d, n - 1])[1][:, ::-1]
