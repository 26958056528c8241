"""Measured responses as a Gaussian process: who is like whom, and how noisy is each.

For a target line t, every gene alike, the entries i = (q, l) are

    δ_i = m_l + f_i + ε_i,   Cov(f_i, f_j) = a [q = q']               the same perturbation
                                         + b T(q, q')               like texts, in any line
                                         + c T(q, q') [l = l']      like texts, in the same line
                                         + d R_t(q, q')             like responses, in any line
                                         + e R_t(q, q') [l = l' = t]   … read out in line t
    Var(ε_i) = v + s_i²

with m_l the line's mean, estimated without a prior (generalised least squares); T the likeness of
their texts (:class:`ptrag.retrieval.similarity.TextSimilarity`); R_t(q, q') = φ_q · φ_q' / G, where
φ_q is the mean over the *other* lines l ≠ t of q's delta less the line's mean; and s_i² the squared
standard error of the entry's own cells, averaged over genes. The noise of the controls, which all
entries of a line share, goes into m_l.

The best linear unbiased prediction is a fixed mixture of entries, δ̂ = Σ_i ω_i δ_i. Since R_t
never looks at line t, leaving an entry of line t out changes nothing but the entry itself, and
the closed form of leave-one-out is exact: with P the inverse covariance after projecting out the
means, δ_i − δ̂_i^(−i) = (P δ)_i / P_ii, and for a set J of entries (P_JJ)⁻¹ (P δ)_J.

Origin: universal kriging; leave-one-out of Dubrule (1983) and Rasmussen & Williams (2006), §5.4.2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np

from ptrag.cells.responses import Responses
from ptrag.retrieval.similarity import TextSimilarity

LEAST = 1e-9  # relative to the largest: a smaller P_ii says that nothing else tells of entry i


@dataclass(frozen=True)
class Variances:
    """The parameters that are fitted, in squared units of delta where not said otherwise.

    Attributes
    ----------
    same, text, text_in_line
        a, b, c above.
    response, response_in_line
        d, e above, dimensionless: R_t has the unit.
    nugget
        v, what no neighbour tells.
    reliability
        Factor of s_i²; 1 trusts the measured errors, 0 has all entries equally noisy.
    """

    same: float
    text: float
    text_in_line: float
    response: float
    response_in_line: float
    nugget: float
    reliability: float = 1.0


class Kernel:
    """The covariances of one target line, before they are weighted.

    Parameters
    ----------
    responses
        N entries of P perturbations.
    text
        T.
    line
        The target line t.
    """

    def __init__(self, responses: Responses, text: TextSimilarity, line: str) -> None:
        self.responses, self.text = responses, text
        self.target = responses.lines.index(line)
        self.measured = np.unique(responses.line_of)  # lines with an entry
        self.noise = responses.own_variance.mean(axis=1)  # N, s²
        self.centred = responses.centred

    @cached_property
    def _address(self) -> np.ndarray:
        """(P, G) φ, zero for a perturbation that no other line has."""
        of, elsewhere = self.responses.perturbation_of, self.responses.line_of != self.target
        total = np.zeros((len(self.responses.perturbations), self.centred.shape[1]))
        np.add.at(total, of[elsewhere], self.centred[elsewhere])
        n = np.bincount(of[elsewhere], minlength=len(total))
        return total / np.maximum(n, 1)[:, None]

    @property
    def response_variance(self) -> float:
        """Mean of R_t(q, q) over the perturbations that another line has; 0 without any."""
        variance = np.diag(self._similar[1])
        return float(variance[variance > 0].mean()) if (variance > 0).any() else 0.0

    @property
    def means(self) -> np.ndarray:
        """(N, M) which of the M measured lines each entry belongs to."""
        return (self.responses.line_of[:, None] == self.measured[None]).astype(float)

    @cached_property
    def _similar(self) -> tuple[np.ndarray, np.ndarray]:
        names = self.responses.perturbations
        response = self._address @ self._address.T / self._address.shape[1]
        return self.text.kernel(names, names), response

    def parts(self) -> Iterator[np.ndarray]:
        """Yield the five (N, N) covariances, in the order of :class:`Variances`."""
        of, lines = self.responses.perturbation_of, self.responses.line_of
        here = lines[:, None] == lines[None]
        yield (of[:, None] == of[None]).astype(float)
        text, response = (its[np.ix_(of, of)] for its in self._similar)
        yield text
        yield text * here
        yield response
        yield response * (here & (lines == self.target))

    def cross(self, perturbation: str, variances: Variances) -> np.ndarray:
        """(N,) covariance of the pair (perturbation, target line) with every entry."""
        names, of = self.responses.perturbations, self.responses.perturbation_of
        here = self.responses.line_of == self.target
        at = self.responses.number(perturbation)
        response = self._similar[1][at] if at >= 0 else np.zeros(len(names))
        text = self.text.kernel([perturbation], names)[0]
        v = variances
        return (
            v.same * (of == at)
            + text[of] * (v.text + v.text_in_line * here)
            + response[of] * (v.response + v.response_in_line * here)
        )

    def covariance(self, variances: Variances, parts: Sequence[np.ndarray] = ()) -> np.ndarray:
        """(N, N) covariance of the measured deltas about their lines' means."""
        n = len(self.noise)
        total = np.zeros((n, n))
        for variance, part in zip(astuple(variances), parts or self.parts(), strict=False):
            total += variance * part
        total[np.diag_indices(n)] += variances.nugget + variances.reliability * self.noise
        return total


class Posterior:
    """What the entries say of pairs in one target line.

    Parameters
    ----------
    kernel
        Covariances of that line.
    variances
        Their weights.
    covariance
        ``kernel.covariance(variances)``, where it is at hand.
    """

    def __init__(
        self, kernel: Kernel, variances: Variances, covariance: np.ndarray | None = None
    ) -> None:
        self.kernel, self.variances = kernel, variances
        if covariance is None:
            covariance = kernel.covariance(variances)
        inverse = np.linalg.inv(covariance)
        solved = inverse @ kernel.means  # N × M
        self._to_mean = solved @ np.linalg.inv(kernel.means.T @ solved)
        self.precision = inverse - self._to_mean @ solved.T  # P
        self._most = np.diag(inverse).copy()
        self.rotated = self.precision @ kernel.responses.delta  # P δ, N × G

    def told(self, rows: Sequence[int] | np.ndarray) -> bool:
        """Whether the other entries tell anything of these: not if a line has no others."""
        block = self.precision[np.ix_(rows, rows)]
        least = np.linalg.eigvalsh(block)[0]
        return bool(least > LEAST * self._most[rows].max())

    def residuals(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, G) measured minus predicted deltas of entries, all of them left out together."""
        block = self.precision[np.ix_(rows, rows)]
        return np.linalg.solve(block, self.rotated[rows])

    def coefficients(self, perturbation: str) -> np.ndarray:
        """(N,) ω of a pair of the target line; its own entry, if there is one, gets zero."""
        responses = self.kernel.responses
        own = responses.rows(self._line, perturbation)
        if len(own) and not self.told(own):  # the line has no other entry
            rest = Kernel(responses.without(own), self.kernel.text, self._line)
            return np.insert(Posterior(rest, self.variances).coefficients(perturbation), own[0], 0)
        if len(own):
            omega = -self.precision[own[0]] / self.precision[own[0], own[0]]
            omega[own[0]] = 0.0
            return omega
        cross = self.kernel.cross(perturbation, self.variances)
        mean = (self.kernel.measured == self.kernel.target).astype(float)
        if not mean.any():  # no entry in the line: the mean of all lines
            mean[:] = 1 / len(mean)
        return self.precision @ cross + self._to_mean @ mean

    def deletion(self, perturbation: str, omega: np.ndarray, entry: int) -> np.ndarray:
        """(G,) change of the pair's prediction when one entry is not retrieved.

        −ω_j (δ_j − δ̂_j^(−j)): an entry that says what the others had said changes nothing.

        Parameters
        ----------
        perturbation, omega
            The pair and its :meth:`coefficients`.
        entry
            j.
        """
        if omega[entry] == 0:
            return np.zeros(self.rotated.shape[1])
        P, rotated = self.precision, self.rotated
        own = self.kernel.responses.rows(self._line, perturbation)
        value, diagonal = rotated[entry], P[entry, entry]
        for i in own:  # as if the pair's own entry had never been there
            value = value - P[entry, i] / P[i, i] * rotated[i]
            diagonal = diagonal - P[entry, i] ** 2 / P[i, i]
        return -omega[entry] * value / diagonal

    @property
    def _line(self) -> str:
        return self.kernel.responses.lines[self.kernel.target]
