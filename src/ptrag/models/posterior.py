"""Measured responses as a Gaussian process: who is like whom, and how noisy is each.

For a target line t, every gene alike, the entries i = (q, l) are

    δ_i = m_l + f_i + ε_i,   Cov(f_i, f_j) = a [q = q']               the same perturbation
                                         + b T(q, q')               like texts, in any line
                                         + c T(q, q') [l = l']      like texts, in the same line
                                         + d R_t(q, q')             like responses, in any line
                                         + e R_t(q, q') [l = l' = t]   … read out in line t
    Var(ε_i) = v + s_i²

with m_l the line's mean, estimated without a prior (generalised least squares); T the likeness of
their texts (:class:`TextSimilarity`); R_t(q, q') = φ_q · φ_q' / G, where φ_q is the mean
over the *other* lines l ≠ t of q's delta less the line's mean; and s_i² the squared standard
error of the entry's own cells, averaged over genes. The noise of the controls, which all entries
of a line share, goes into m_l.

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

from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.responses import Responses

WIDTH = 0.5  # of the text kernel, in median distances between training perturbations
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
        self._row = {name: i for i, name in enumerate(embedding.names)}
        self._unit = _unit(embedding.vectors.astype(np.float64))
        known = self._rows([name for name in names if name in self._row])
        trained = self._unit[known] if len(known) else self._unit
        centred = trained - trained.mean(axis=0)
        _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
        self._turned = _unit((self._unit - trained.mean(axis=0)) @ directions.T * lengths)
        self.width = width or WIDTH * self._spread(known)

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
