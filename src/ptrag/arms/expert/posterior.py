"""Measured responses as a Gaussian process: who is like whom, and how noisy is each.

For a target line t, every gene alike, the entries i = (q, l) are

    δ_i = m_l + f_i + ε_i,   Cov(f_i, f_j) = a S(q, q')               the same perturbation
                                         + b T(q, q')               like texts, in any line
                                         + c T(q, q') [l = l']      like texts, in the same line
                                         + d R_t(q, q')             like responses, in any line
                                         + e R_t(q, q') [l = l' = t]   … read out in line t
    Var(ε_i) = v + s_i²

with m_l the line's mean, estimated without a prior (generalised least squares); S the number of
target genes that q and q' share, so that of single genes [q = q'], while a double is the sum of its
singles and of what is its own; T the likeness of
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
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.precision import Precision
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

    @property
    def of_responses(self) -> bool:
        """Whether likeness of responses counts, which each target line sees in its own way."""
        return self.response > 0 or self.response_in_line > 0


class Kernel:
    """The covariances of one target line, before they are weighted.

    Parameters
    ----------
    entries
        N entries of P perturbations, their values δ and noise s².
    text
        T.
    line
        The target line t.
    """

    def __init__(self, entries: Entries, text: TextSimilarity, line: str) -> None:
        self.entries, self.responses, self.text = entries, entries.responses, text
        self.target = self.responses.lines.index(line)
        self.measured = np.unique(self.responses.line_of)  # lines with an entry
        self._latest: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def _address(self) -> np.ndarray:
        """(P, G) φ, zero for a perturbation that no other line has."""
        of, elsewhere = self.responses.perturbation_of, self.responses.line_of != self.target
        total = np.zeros((len(self.responses.perturbations), len(self.responses.genes)))
        np.add.at(total, of[elsewhere], self.entries.centred[elsewhere])
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

    @property
    def mean_weights(self) -> np.ndarray:
        """(M,) of the measured lines' means in the target line's mean: its own, if it has one."""
        own = (self.measured == self.target).astype(float)
        return own if own.any() else np.full(len(own), 1 / len(own))

    @cached_property
    def _similar(self) -> tuple[np.ndarray, np.ndarray]:
        names = self.responses.perturbations
        response = self._address @ self._address.T / self._address.shape[1]
        return self.text.kernel(names, names), response

    @cached_property
    def _shared(self) -> np.ndarray:
        """(P, P) S."""
        return shared_genes(self.responses.perturbations, self.responses.perturbations)

    def parts(self) -> Iterator[np.ndarray]:
        """Yield the five (N, N) covariances, in the order of :class:`Variances`."""
        of, lines = self.responses.perturbation_of, self.responses.line_of
        here = lines[:, None] == lines[None]
        text, response = self._similar
        square = np.ix_(of, of)
        yield self._shared[square]
        yield text[square]
        yield text[square] * here
        yield response[square]
        yield response[square] * (here & (lines == self.target))

    def cross(self, perturbation: str, variances: Variances) -> np.ndarray:
        """(N,) covariance of the pair (perturbation, target line) with every entry."""
        of, here = self.responses.perturbation_of, self.responses.line_of == self.target
        at = self.responses.number(perturbation)
        shared, text = self._likeness(perturbation)
        response = self._similar[1][at] if at >= 0 else np.zeros(len(text))
        v = variances
        return (
            v.same * shared[of]
            + text[of] * (v.text + v.text_in_line * here)
            + response[of] * (v.response + v.response_in_line * here)
        )

    def _likeness(self, perturbation: str) -> tuple[np.ndarray, np.ndarray]:
        """(P,) S and T of one perturbation with those measured.

        The latest are kept, also for copies with another target: every group of components asks
        for the same, once for coefficients and once for their variance.
        """
        if perturbation not in self._latest:
            names = self.responses.perturbations
            self._latest.clear()
            self._latest[perturbation] = (
                shared_genes([perturbation], names)[0], self.text.kernel([perturbation], names)[0],
            )  # fmt: skip
        return self._latest[perturbation]

    def prior(self, perturbation: str, variances: Variances) -> float:
        """Variance of the pair (perturbation, target line) about the line's mean, noise-free."""
        at = self.responses.number(perturbation)
        response = self._similar[1][at, at] if at >= 0 else 0.0
        v = variances
        like = v.text + v.text_in_line + response * (v.response + v.response_in_line)
        return float(v.same * len(perturbation.split("+")) + like + v.nugget)

    def covariance(self, variances: Variances) -> np.ndarray:
        """(N, N) covariance of the measured deltas about their lines' means, in Fortran order."""
        text, response = self._similar
        v, of = variances, self.responses.perturbation_of
        anywhere = v.same * self._shared + v.text * text + v.response * response
        total = np.empty((len(of), len(of)), order="F")
        for one in self.measured:
            rows = np.flatnonzero(self.responses.line_of == one)
            for other in self.measured:
                columns = np.flatnonzero(self.responses.line_of == other)
                alike = anywhere
                if one == other:
                    alike = anywhere + v.text_in_line * text
                    alike += v.response_in_line * (one == self.target) * response
                total[np.ix_(rows, columns)] = alike[np.ix_(of[rows], of[columns])]
        total[np.diag_indices_from(total)] += v.nugget + v.reliability * self.entries.noise
        return total


def shared_genes(names: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """(n, m) numbers of target genes that perturbations share; a double is written ``A+B``."""
    number: dict[str, int] = {}
    for name in (*names, *others):
        for gene in name.split("+"):
            number.setdefault(gene, len(number))

    def incidence(of: Sequence[str]) -> sparse.csr_array:
        pairs = [(i, number[gene]) for i, name in enumerate(of) for gene in name.split("+")]
        rows, columns = np.array(pairs).T
        return sparse.csr_array((np.ones(len(rows)), (rows, columns)), (len(of), len(number)))

    return (incidence(names) @ incidence(others).T).toarray()


class Posterior:
    """What the entries say of pairs in one target line.

    Parameters
    ----------
    kernel
        Covariances of that line.
    variances
        Their weights.
    values
        (N, G) of the entries, or (N, rank) linear in them; those of ``kernel`` unless given.
    covariance
        Of ``kernel`` with ``variances``, where it is at hand, in Fortran order; overwritten.
    """

    def __init__(
        self, kernel: Kernel, variances: Variances, values: np.ndarray | None = None,
        covariance: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.kernel, self.variances = kernel, variances
        self.values = kernel.entries.values if values is None else values
        if covariance is None:
            covariance = kernel.covariance(variances)
        self.precision = Precision(covariance, kernel.means, self.values)

    def of_line(self, line: str) -> "Posterior":
        """Return the same solution for another line; not where likeness of responses counts."""
        other = copy(self)
        other.kernel = copy(self.kernel)
        other.kernel.target = self.kernel.responses.lines.index(line)
        return other

    def informed(self, rows: Sequence[int] | np.ndarray) -> bool:
        """Whether the other entries tell anything of these: not if a line has no others."""
        least = np.linalg.eigvalsh(self.precision.block(rows))[0]
        return bool(least > LEAST * self.precision.unprojected[rows].max())

    def residuals(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n, G) measured minus predicted values of entries, all of them left out together."""
        return np.linalg.solve(self.precision.block(rows), self.precision.rotated[rows])

    def left_out_variance(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(n,) variance of :meth:`residuals` less the noise of the entries' own cells."""
        noise = self.variances.reliability * self.kernel.entries.noise[rows]
        return np.diag(np.linalg.inv(self.precision.block(rows))) - noise

    def coefficients(self, perturbation: str) -> np.ndarray:
        """(N,) ω of a pair of the target line; its own entry, if there is one, gets zero."""
        responses = self.kernel.responses
        own = responses.rows(self._line, perturbation)
        if len(own) and not self.informed(own):
            return np.insert(self._without(own).coefficients(perturbation), own[0], 0)
        if len(own):
            row = self.precision.row(own[0])
            omega = -row / row[own[0]]
            omega[own[0]] = 0.0
            return omega
        cross = self.kernel.cross(perturbation, self.variances)
        return self.precision.product(cross) + self.precision.to_mean @ self.kernel.mean_weights

    def variance(self, perturbation: str, omega: np.ndarray) -> float:
        """Variance of a pair's delta, noise-free, about its prediction by :meth:`coefficients`.

        The variance of kriging, k** − 2 ωᵀ k + ωᵀ K ω; for a pair with an entry of its own, that
        of leaving this entry out.
        """
        own = self.kernel.responses.rows(self._line, perturbation)
        if len(own) and not self.informed(own):
            return self._without(own).variance(perturbation, np.delete(omega, own))
        if len(own):
            return float(self.left_out_variance(own)[0])
        cross, mean = self.kernel.cross(perturbation, self.variances), self.kernel.mean_weights
        prior = self.kernel.prior(perturbation, self.variances)
        # K ω + H μ = k and Hᵀ ω = m, so that the variance is k** − ωᵀ k − mᵀ μ
        multiplier = cross @ self.precision.to_mean - self.precision.mean_variance @ mean
        return float(prior - omega @ cross - mean @ multiplier)

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
        rotated = self.precision.rotated
        if omega[entry] == 0:
            return np.zeros(rotated.shape[1])
        value, diagonal = rotated[entry], self.precision.diagonal[entry]
        own = self.kernel.responses.rows(self._line, perturbation)
        gone = np.union1d(own, [entry]).astype(int)
        if not self.informed(gone):
            rest = self._without(gone)
            return rest.coefficients(perturbation) @ rest.values - omega @ self.values
        for i in own:  # as if the pair's own entry had never been there
            row = self.precision.row(i)
            value = value - row[entry] / row[i] * rotated[i]
            diagonal = diagonal - row[entry] ** 2 / row[i]
        return -omega[entry] * value / diagonal

    def _without(self, rows: Sequence[int] | np.ndarray) -> "Posterior":
        """Return the process without entries of which the others tell nothing, solved again.

        They are all that their line has, so that the closed form divides by nothing.
        """
        rest = Kernel(self.kernel.entries.without(rows), self.kernel.text, self._line)
        return Posterior(rest, self.variances, np.delete(self.values, rows, axis=0))

    @property
    def _line(self) -> str:
        return self.kernel.responses.lines[self.kernel.target]
