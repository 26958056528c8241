"""The ridge regression from texts to responses, as coefficients of measured responses.

δ̂(p, t) = m_t + B (e_p − ē), with m_t the mean of the line's entries and B the ridge regression of
what the lines have in common: B minimises

    Σ_q ‖z_q − z̄ − B (e_q − ē)‖² + λ ‖B‖²,   z_q = mean over the entries (q, l) of δ(q, l) − m_l,

over the measured perturbations q with a vector, e_q scaled to length one. With K the cosines of the
e_q, B (e_p − ē) = Σ_q a_q z_q − z̄, and a is the first part of

    | K + λ  1 |⁻¹ | k_p |
    |   1ᵀ   0 |   |  1  |

(the unpenalised mean of z as a Lagrange multiplier). T, the inverse, serves every perturbation,
and without some of them, J, it is T − T_·J (T_JJ)⁻¹ T_J·: nothing is solved anew.
"""

from functools import cached_property

import numpy as np

from ptrag.arms.simple import coefficients as simple
from ptrag.cells.responses import Responses
from ptrag.retrieval.similarity import TextSimilarity

PENALTIES = tuple(10 ** (power / 4) for power in range(-12, 13))


class Regression:
    """The regression on the entries of ``responses``, with a penalty λ.

    Parameters
    ----------
    responses
        N entries.
    text
        Where the vectors are.
    penalty
        λ, of :func:`fit_penalty`.
    """

    def __init__(self, responses: Responses, text: TextSimilarity, penalty: float) -> None:
        self.responses, self.text, self.penalty = responses, text, penalty
        names = np.array(responses.perturbations)
        self._has_vector = np.array([name in text for name in names])  # P
        self.names = list(names[self._has_vector])

    @cached_property
    def _inverse(self) -> np.ndarray:
        """(n + 1, n + 1) T of the n measured perturbations with a vector."""
        n = len(self.names)
        system = np.ones((n + 1, n + 1))
        system[:n, :n] = self.text.cosine(self.names, self.names) + self.penalty * np.eye(n)
        system[n, n] = 0.0
        return np.linalg.inv(system)

    def coefficients(self, line: str, perturbation: str, keep: np.ndarray) -> np.ndarray:
        """(N,) ω of a pair, of the entries of ``keep``; :func:`simple.line_mean` without a vector.

        Parameters
        ----------
        line, perturbation
            The pair.
        keep
            (N,) bool, entries that may be used.
        """
        omega = simple.line_mean(self.responses, line, keep)
        of = self.responses.perturbation_of
        measured = np.bincount(of, keep, len(self._has_vector))  # P, entries that are kept
        present = measured[self._has_vector] > 0
        if perturbation not in self.text or present.sum() < 2:
            return omega
        each = np.zeros(len(self._has_vector))
        each[self._has_vector] = self._weights(perturbation, present) - present / present.sum()
        part = keep * each[of] / np.maximum(measured[of], 1)
        lines = self.responses.line_of  # each line's part less that of its mean
        of_line = np.bincount(lines, part) / np.maximum(np.bincount(lines, keep), 1)
        return omega + part - keep * of_line[lines]

    def _weights(self, perturbation: str, present: np.ndarray) -> np.ndarray:
        """(n,) a of the perturbations that are present, and zeros."""
        T, gone = self._inverse, np.flatnonzero(~present)
        near = self.text.cosine([perturbation], self.names)[0] * present
        weights = T @ np.append(near, 1.0)
        if len(gone):
            weights -= T[:, gone] @ np.linalg.solve(T[np.ix_(gone, gone)], weights[gone])
        return weights[:-1]


def fit_penalty(responses: Responses, text: TextSimilarity) -> float:
    """Return the λ of least squared error of exact leave-one-out, over perturbations.

    The entries of one perturbation share its vector: one entry at a time would be told by the
    others. With the hat matrix H = K (K + λ)⁻¹ + 1/n of the centred K, the residual without
    perturbation i is (z − H z)_i / (1 − H_ii), exactly (the PRESS statistic of Allen 1974).
    λ is one of :data:`PENALTIES`, in units of the mean eigenvalue of K.
    """
    names = [name for name in responses.perturbations if name in text]
    n = len(names)
    if n < 2:
        return 1.0
    z = np.array([responses.centred[responses.rows(perturbation=name)].mean(0) for name in names])
    z, centre = z - z.mean(axis=0), np.eye(n) - 1 / n
    values, basis = np.linalg.eigh(centre @ text.cosine(names, names) @ centre)
    values, turned = np.maximum(values, 0.0), basis.T @ z

    def error(penalty: float) -> float:
        shrunk = basis * (values / (values + penalty))
        leverage = (shrunk * basis).sum(axis=1) + 1 / n
        residual = (z - shrunk @ turned) / (1 - leverage)[:, None]
        return (residual**2).sum()

    return min(np.array(PENALTIES) * max(values.mean(), 1e-12), key=error)
