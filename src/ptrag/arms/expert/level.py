"""The level of a line: what all its perturbations share, freed of the noise of its controls.

All deltas of a line are measured from one mean of control cells, so the mean delta m_l of its
entries has the error of that mean, however many perturbations were measured, and no leaving out of
entries can tell: all share it. But its size is known, σ_l² = the squared standard error of the
controls (and what is left of the entries' own), and the errors of lines are independent. So the
level is the posterior mean

    θ̂_l = ρ m̄ + g ∘ (m_l − ρ m̄),

with m̄ the mean of the other lines' means, as far as it reaches in the line
(:mod:`ptrag.arms.expert.reach`), ρ from least squares over lines and genes, and g(z²) the
adaptive shrinkage (:class:`ptrag.arms.expert.sparse.Prior`) of what is left,
z² = (m_l − ρ m̄)²/σ_l².
The factors ρ and g are fitted once, and so is the reach. A gene counts in g's mixture by its
noise, as it does in the squared error, for what few cells show says least of how far noise reaches.
And g is not below a tenth: in a small screen hardly anything rises above the noise, and there the
direction of m_l is still better than none. θ̂ is linear in the entries. Where controls are known
exactly (σ = 0), the level is the line's mean; of a line without entries it is ρ m̄. Where one line
alone has entries, nothing tells ρ: it is 1, so that another line has that line's mean as its level,
as uncertain as that mean is large.

What is taken from the mean was the error of the control mean c_l, but for the share of the entries'
own noise. So the line's control profile is known better than by c_l alone:

    ĉ_l = c_l + s ∘ (1 − g) ∘ (m_l − ρ m̄),   s = the controls' share of σ_l².

A predicted delta stands on θ̂, and the predicted profile on ĉ + θ̂. With s near 1 this is c_l + m_l,
the mean of the training profiles, in which no control has a part.

Origin: adaptive shrinkage, Stephens (2017); shrinkage towards a regression, Efron & Morris (1973).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ptrag.arms.expert.reach import fit_reach, reach
from ptrag.arms.expert.sparse import Prior, variance_of_a_cell
from ptrag.arms.simple.line_means import LineMeans
from ptrag.cells.responses import Responses

LEAST_NOISE = 0.001  # of a gene, in units of the mean over genes
LEAST_TRUST = 0.1  # of a line's mean, whose noise is known no better than to about a tenth


@dataclass(frozen=True)
class Level:
    """The fitted factors, for L lines and G genes.

    Attributes
    ----------
    carried
        ρ, how much of the other lines' mean level carries over.
    followed
        c, how far responses follow what a line expresses (:mod:`ptrag.arms.expert.reach`).
    trust
        (L, G) g, how far a line's own mean is believed; of a line without entries it is not used.
    of_controls
        (L, G) s, the controls' share of the noise of a line's mean.
    variance
        (L, G) of the true level about θ̂, squared units of delta; of a line without entries it is
        not used (:meth:`uncertain`).
    """

    carried: float
    followed: float
    trust: np.ndarray
    of_controls: np.ndarray
    variance: np.ndarray

    @classmethod
    def plain(cls, responses: Responses) -> "Level":
        """Return the level that is the line's mean."""
        shape = len(responses.lines), len(responses.genes)
        return cls(1.0, 0.0, np.ones(shape), np.ones(shape), np.zeros(shape))

    @classmethod
    def fitted(cls, responses: Responses) -> "Level":
        """Fit the reach to the entries, ρ and g to the means of the lines."""
        means = LineMeans.of_all(responses)
        lines = np.flatnonzero(means.counts)
        controls = np.array([responses.control_se[line] ** 2 for line in responses.lines])
        if not controls[lines].any():
            return cls.plain(responses)
        a_cell = variance_of_a_cell(responses)
        noise, of_controls = _noise(responses, controls, a_cell, means.counts)
        own = np.array([means.mean(line) for line in range(len(noise))])
        followed = fit_reach(responses)
        others = np.array([_reaching(followed, line, means) for line in range(len(noise))])
        power = (others[lines] ** 2).sum()
        carried = max(0.0, (own[lines] * others[lines]).sum() / power) if power > 0 else 1.0
        squares = (own - carried * others) ** 2 / noise
        counted = a_cell > 0
        rows = np.ix_(lines, counted | ~counted.any())
        prior = Prior.fitted(squares[rows].ravel(), noise[rows].ravel())
        variance = prior.variance(squares) * noise
        trust = np.maximum(prior(squares), LEAST_TRUST)
        return cls(float(carried), followed, trust, of_controls, variance)

    def with_line(self, line: str, responses: Responses) -> "Level":
        """Return the level with one more line, that has no entry; ``responses`` have it."""
        at = responses.lines.index(line)
        return Level(
            self.carried,
            self.followed,
            *(np.insert(a, at, 0.0, axis=0) for a in (self.trust, self.of_controls, self.variance)),
        )

    def expected(self, line: int, means: LineMeans) -> np.ndarray:
        """(G,) ρ m̄ of a line by number: what the other lines say of its level."""
        return self.carried * _reaching(self.followed, line, means)

    def reach(self, line: int, means: LineMeans) -> np.ndarray:
        """(G,) factor of other lines' responses in a line by number; 1 where it has entries."""
        if means.counts[line]:
            return np.ones(self.trust.shape[1])
        return reach(self.followed, line, means.responses, means.counts)

    def uncertain(self, line: int, means: LineMeans) -> np.ndarray:
        """(G,) variance of the true level about θ̂ of a line by number.

        How far the level of a line without entries is from what is carried over: as far as the
        means of lines with entries are from what the others say of them, as far as it reaches.
        """
        measured = np.flatnonzero(means.counts)
        if means.counts[line] or not len(measured):
            return self.variance[line]
        missed = [(means.mean(other) - self.expected(other, means)) ** 2 for other in measured]
        return np.mean(missed, axis=0) * self.reach(line, means) ** 2

    def of(self, line: int, means: LineMeans) -> np.ndarray:
        """(G,) θ̂ of a line by number."""
        expected = self.expected(line, means)
        if not means.counts[line]:
            return expected
        return expected + self.trust[line] * (means.mean(line) - expected)

    def control_error(self, line: int, means: LineMeans) -> np.ndarray:
        """(G,) ĉ − c of a line by number: what its control profile is beyond the measured mean."""
        if not means.counts[line]:
            return np.zeros(self.trust.shape[1])
        beyond = means.mean(line) - self.expected(line, means)
        return self.of_controls[line] * (1 - self.trust[line]) * beyond

    def left_out(self, responses: Responses, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n, G) level of its line for each entry of ``groups``, without its group."""
        return _without(groups, responses, self.of)

    def left_out_reach(self, responses: Responses, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n, G) :meth:`reach` of its line for each entry of ``groups``, as before."""
        return _without(groups, responses, self.reach)

    def left_out_uncertain(self, responses: Responses, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n, G) :meth:`uncertain` of its line for each entry of ``groups``, as before."""
        return _without(groups, responses, self.uncertain)

    def left_out_control_error(
        self, responses: Responses, groups: Sequence[np.ndarray]
    ) -> np.ndarray:
        """(n, G) :meth:`control_error` of its line for each entry of ``groups``, as before."""
        return _without(groups, responses, self.control_error)

    def omega(self, line: int, responses: Responses, keep: np.ndarray) -> np.ndarray:
        """(N,) coefficients of the entries that may be used, as a mean over genes."""
        counts = np.bincount(responses.line_of, keep, len(responses.lines))
        trust = self.trust[line].mean() if counts[line] else 0.0
        others = counts > 0
        others[line] = False
        far = reach(self.followed, line, responses, counts).mean()
        by_line = others * (1 - trust) * self.carried * far / max(others.sum(), 1)
        by_line[line] = trust
        return keep * (by_line / np.maximum(counts, 1))[responses.line_of]


def _reaching(followed: float, line: int, means: LineMeans) -> np.ndarray:
    """(G,) mean of the other lines' means, as far as it reaches in a line by number."""
    return reach(followed, line, means.responses, means.counts) * means.elsewhere(line)


def _without(
    groups: Sequence[np.ndarray],
    responses: Responses,
    of: Callable[[int, LineMeans], np.ndarray],
) -> np.ndarray:
    """(n, G) what ``of`` says of the line of each entry of ``groups``, without its group."""
    means, values = LineMeans.of_all(responses), []
    for group in groups:
        rest, lines = means.without(group), responses.line_of[group]
        of_line = {line: of(line, rest) for line in set(lines)}
        values += [of_line[line] for line in lines]
    return np.array(values)


def _noise(
    responses: Responses, controls: np.ndarray, a_cell: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(L, G) squared standard errors of the lines' means, and the controls' share of them.

    Where a gene is rarely counted, few controls have none of it, and (L, G) ``controls`` would say
    that it is known exactly. So they are averaged with what (G,) ``a_cell``, the variance between
    all cells, of all lines, gives for as many cells; both have the same sum over genes.
    """
    if a_cell.any():
        controls = (controls + np.outer(controls.sum(axis=1) / a_cell.sum(), a_cell)) / 2
    own = np.zeros_like(controls)
    np.add.at(own, responses.line_of, responses.own_variance)
    noise = controls + own / np.maximum(counts, 1)[:, None] ** 2
    least = LEAST_NOISE * noise[counts > 0].mean()
    share = np.divide(controls, noise, out=np.ones_like(noise), where=noise > 0)
    return np.maximum(noise, least), share
