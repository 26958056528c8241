"""The inverse of a covariance without the means of lines, in half of its memory."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg.blas import dspmv, dsymm
from scipy.linalg.lapack import dpotrf, dpotri, dtpttr, dtrttp


class Precision:
    """P = K⁻¹ − K⁻¹ H (Hᵀ K⁻¹ H)⁻¹ Hᵀ K⁻¹: the inverse covariance without the lines' means.

    The inverse comes from the Cholesky factor, in place, and only its lower triangle is kept.

    Parameters
    ----------
    covariance
        (N, N) K in Fortran order; overwritten.
    means
        (N, M) H, which of M means belongs to each entry.
    values
        (N, G) the entries' values δ.

    Attributes
    ----------
    rotated
        (N, G) P δ.
    """

    def __init__(self, covariance: np.ndarray, means: np.ndarray, values: np.ndarray) -> None:
        factor, failed = dpotrf(covariance, lower=1, overwrite_a=1)
        inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
        if failed:
            raise np.linalg.LinAlgError("the covariance is not positive definite")
        self._solved = dsymm(1.0, inverse, means, lower=1)  # K⁻¹ H
        self.mean_variance = np.linalg.inv(means.T @ self._solved)  # (Hᵀ K⁻¹ H)⁻¹
        self.to_mean = self._solved @ self.mean_variance
        self.rotated = dsymm(1.0, inverse, values, lower=1)
        self.rotated -= self.to_mean @ (self._solved.T @ values)
        self.unprojected = np.diag(inverse).copy()  # of K⁻¹
        self.diagonal = self.unprojected - (self.to_mean * self._solved).sum(axis=1)
        self._n = len(inverse)
        self._packed, _ = dtrttp(inverse, uplo="L")

    def product(self, x: np.ndarray) -> np.ndarray:
        """(N,) P x."""
        return dspmv(self._n, 1.0, self._packed, x, lower=1) - self.to_mean @ (self._solved.T @ x)

    def dense(self) -> np.ndarray:
        """(N, N) P."""
        inverse, _ = dtpttr(self._n, self._packed, uplo="L")
        inverse += np.tril(inverse, -1).T
        return inverse - self._solved @ self.to_mean.T

    def row(self, i: int) -> np.ndarray:
        """(N,) P_i·."""
        before = np.arange(i, dtype=np.int64)
        left = self._packed[i + before * (2 * self._n - before - 1) // 2]
        start = i + i * (2 * self._n - i - 1) // 2
        inverse = np.concatenate([left, self._packed[start : start + self._n - i]])
        return inverse - self._solved @ self.to_mean[i]

    def block(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, n) P_JJ."""
        return np.array([self.row(i)[rows] for i in rows])
