"""The inverse of a covariance without the means of lines, in half of its memory."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg.blas import dspmv, dtrmm
from scipy.linalg.lapack import dlauum, dpotrf, dtpttr, dtrtri, dtrttp


class Precision:
    """P = K⁻¹ − K⁻¹ H (Hᵀ K⁻¹ H)⁻¹ Hᵀ K⁻¹: the inverse covariance without the lines' means.

    With K = L Lᵀ, K⁻¹ = Wᵀ W of the inverse W of the Cholesky factor, made in place. Leaving out
    single entries needs no more than W; what needs K⁻¹ itself multiplies it out, once. Only lower
    triangles are kept.

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
    diagonal
        (N,) of P.
    unprojected
        (N,) diagonal of K⁻¹.
    """

    def __init__(self, covariance: np.ndarray, means: np.ndarray, values: np.ndarray) -> None:
        factor, failed = dpotrf(covariance, lower=1, clean=1, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("the covariance is not positive definite")
        W, _ = dtrtri(factor, lower=1, overwrite_c=1)

        def solved(x: np.ndarray) -> np.ndarray:
            """K⁻¹ x."""
            return dtrmm(1.0, W, dtrmm(1.0, W, x, lower=1), lower=1, trans_a=1)

        self._solved = solved(means)  # K⁻¹ H
        self.mean_variance = np.linalg.inv(means.T @ self._solved)  # (Hᵀ K⁻¹ H)⁻¹
        self.to_mean = self._solved @ self.mean_variance
        self.rotated = solved(values)
        self.rotated -= self.to_mean @ (self._solved.T @ values)
        self.unprojected = np.einsum("ij,ij->j", W, W)
        self.diagonal = self.unprojected - (self.to_mean * self._solved).sum(axis=1)
        self._n = len(W)
        self._packed, _ = dtrttp(W, uplo="L")
        self._multiplied_out = False

    def product(self, x: np.ndarray) -> np.ndarray:
        """(N,) P x."""
        whole = dspmv(self._n, 1.0, self._inverse(), x, lower=1)
        return whole - self.to_mean @ (self._solved.T @ x)

    def dense(self) -> np.ndarray:
        """(N, N) P."""
        inverse, _ = dtpttr(self._n, self._inverse(), uplo="L")
        inverse += np.tril(inverse, -1).T
        return inverse - self._solved @ self.to_mean.T

    def row(self, i: int) -> np.ndarray:
        """(N,) P_i·."""
        packed, before = self._inverse(), np.arange(i, dtype=np.int64)
        left = packed[i + before * (2 * self._n - before - 1) // 2]
        start = i + i * (2 * self._n - i - 1) // 2
        inverse = np.concatenate([left, packed[start : start + self._n - i]])
        return inverse - self._solved @ self.to_mean[i]

    def block(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, n) P_JJ."""
        if len(rows) == 1:
            return self.diagonal[rows][:, None]
        return np.array([self.row(i)[rows] for i in rows])

    def _inverse(self) -> np.ndarray:
        """Lower triangle of K⁻¹ in packed storage, in the place of that of W."""
        if not self._multiplied_out:
            W, _ = dtpttr(self._n, self._packed, uplo="L")
            inverse, _ = dlauum(W, lower=1, overwrite_c=1)
            self._packed, _ = dtrttp(inverse, uplo="L")
            self._multiplied_out = True
        return self._packed
