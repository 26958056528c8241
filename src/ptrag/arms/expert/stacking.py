"""How much each member of the expert is believed: stacking by exact leave-one-out.

δ̂_g = m_g + a_g Σ_m w_m x_mg: the line's mean m, what each member says beyond it, x_m = δ̂_m − m,
with a nonnegative weight, and for each gene a slope.

**Weights** are nonnegative least squares of leave-one-out predictions, in steps that each add
members (simple before processes, responses before texts): from the solution w without the step's
members to w' with them; the first from nothing, or from what is known beforehand. A step is taken
as far as perturbations that were not fitted on confirm it.
With d = Σ_m (w'_m − w_m) x_m the change of the prediction and r what was missing before, both
cross-fitted over folds of perturbations, the best distance on the way is b = Σ⟨r, d⟩ / Σ⟨d, d⟩; it
is shrunk by what is uncertain of it,

    c = b · max(0, 1 − (2/z)⁴),   z² = (Σ_p ⟨r_p, d_p⟩)² / (2 P Var_p ⟨r_p, d_p⟩),

within 0 and 1, over P perturbations. (The 2 under z²: where two perturbations tell of each other,
the product of their responses is in both terms, which doubles the variance of the sum.) So an idle
member changes nothing in 39 of 40 screens, a useful one counts in full soon beyond (at z = 3, four
fifths), and nothing jumps: c is continuous in the data. James and Stein's positive-part factor,
1 − 1/z², would let in one idle member in six.

**Slopes.** Genes differ in how far their response carries over: a_g is a random effect about 1
(about what is best for all genes alike, which the weights have settled), shrunk by its own standard
error, with the variance between genes by the method of moments; the step from slope one to these is
then taken by the same rule.

Origin: stacking, Wolpert (1992), Breiman (1996); James & Stein (1961); random effects by moments,
DerSimonian & Laird (1986).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import nnls

FOLDS = 10
CERTAIN = 2.0  # standard errors of a step below which nothing of it is taken
SMALLEST = 0.01  # weight of a member that is kept: less says nothing and costs time
LEAST = 1e-20  # squared length of what a member says, in units of what is missing: less is rounding


@dataclass(frozen=True)
class LeftOut:
    """Leave-one-out predictions of n measured entries.

    Attributes
    ----------
    beyond
        {member: (n, G) what it says beyond the line's mean}.
    missing
        (n, G) measured deltas less the line's mean without them.
    perturbation
        (n,) numbers of the entries' perturbations.
    """

    beyond: Mapping[str, np.ndarray]
    missing: np.ndarray
    perturbation: np.ndarray

    @cached_property
    def cluster(self) -> np.ndarray:
        """(n,) perturbations numbered from 0 without gaps."""
        return np.unique(self.perturbation, return_inverse=True)[1]

    @cached_property
    def fold(self) -> np.ndarray:
        """(P,) fold of each perturbation."""
        n = self.cluster.max() + 1
        return np.random.default_rng(0).permutation(n) % min(FOLDS, n)

    def mix(self, weights: Mapping[str, float]) -> np.ndarray:
        """(n, G) what the mixture says beyond the line's mean, before slopes."""
        parts = [weight * self.beyond[member] for member, weight in weights.items()]
        return sum(parts, np.zeros_like(self.missing))


@dataclass(frozen=True)
class Stack:
    """Weights of the members that have one, and a slope for each of G genes."""

    weights: dict[str, float]
    slopes: np.ndarray


def fit_stack(
    left: LeftOut, steps: Sequence[Sequence[str]], start: Mapping[str, float] | None = None
) -> Stack:
    """Fit weights, then slopes.

    Parameters
    ----------
    left
        What each member says of left-out entries.
    steps
        Each a list of members that it adds.
    start
        Weights of members of the first step that hold until other ones are confirmed; without,
        no member has any.
    """
    members = [member for step in steps for member in step]
    start = start or {}
    if len(left.fold) < 2:
        return Stack(dict(start), np.ones(left.missing.shape[1]))
    gram, moment = _products(left, members)
    folds = range(left.fold.max() + 1)
    solution = weights = np.array([start.get(member, 0.0) for member in members])
    by_fold = fitted = np.tile(solution, (len(folds), 1))
    allowed = 0
    for step in steps:
        allowed += len(step)
        new = np.array([_nonnegative(gram, moment, left.fold != f, allowed) for f in folds])
        change, before = (new - by_fold)[left.fold], by_fold[left.fold]  # P × M
        missed = moment - np.einsum("pmk,pk->pm", gram, before)
        along = np.einsum("pm,pm->p", change, missed)
        length = np.einsum("pm,pmk,pk->p", change, gram, change)
        taken = distance(along, length)
        everything = _nonnegative(gram, moment, left.fold >= 0, allowed)
        weights = np.maximum(weights + taken * (everything - solution), 0.0)
        fitted = np.maximum(fitted + taken * (new - by_fold), 0.0)
        solution, by_fold = everything, new
    kept = {m: float(w) for m, w in zip(members, weights, strict=True) if w >= SMALLEST}
    cross_fitted = [dict(zip(members, w, strict=True)) for w in fitted]
    return Stack(kept, _slopes(left, kept, cross_fitted))


def distance(along: np.ndarray, length: np.ndarray) -> float:
    """How far to take a step, from 0 to 1.

    Parameters
    ----------
    along
        (P,) ⟨r_p, d_p⟩ of each perturbation.
    length
        (P,) ⟨d_p, d_p⟩.
    """
    total, n = along.sum(), len(along)
    if total <= 0 or n < 2 or length.sum() <= 0:  # so short a step that its square is 0 is none
        return 0.0
    squared_error = 2 * n * along.var(ddof=1)
    certain = max(0.0, 1 - (CERTAIN**2 * squared_error / total**2) ** 2)
    return float(min(1.0, certain * total / length.sum()))


def _products(left: LeftOut, members: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(P, M, M) and (P, M) products of members with each other and with what is missing."""
    n = len(left.fold)
    gram, moment = np.zeros((n, len(members), len(members))), np.zeros((n, len(members)))
    for i, p in enumerate(left.cluster):
        x = np.array([left.beyond[member][i] for member in members])
        x[(x**2).sum(axis=1) <= LEAST * (left.missing[i] ** 2).sum()] = 0.0
        gram[p] += x @ x.T
        moment[p] += x @ left.missing[i]
    return gram, moment


def _nonnegative(
    gram: np.ndarray, moment: np.ndarray, kept: np.ndarray, allowed: int
) -> np.ndarray:
    """(M,) nonnegative least squares over perturbations, of the first ``allowed`` members."""
    weights = np.zeros(gram.shape[1])
    total, right = gram[kept].sum(axis=0), moment[kept].sum(axis=0)
    scale = np.sqrt(np.diag(total))
    used = np.flatnonzero(scale[:allowed] > 0)
    if len(used) == 0:
        return weights
    scale = scale[used]
    values, basis = np.linalg.eigh(total[np.ix_(used, used)] / np.outer(scale, scale))
    root = np.sqrt(np.maximum(values, 1e-12))
    scaled, _ = nnls(root[:, None] * basis.T, basis.T @ (right[used] / scale) / root)
    weights[used] = scaled / scale
    return weights


def _slopes(
    left: LeftOut, weights: Mapping[str, float], cross_fitted: Sequence[Mapping[str, float]]
) -> np.ndarray:
    """(G,) slopes of what the mixture says, as far as other perturbations confirm them."""
    n, n_genes = len(left.fold), left.missing.shape[1]
    along, length = np.zeros(n), np.zeros(n)
    for f, fitted in enumerate(cross_fitted):
        out = left.fold[left.cluster] == f
        predicted = left.mix(fitted)
        predicted *= _common_slope(predicted[~out], left.missing[~out])
        slopes = random_slopes(predicted[~out], left.missing[~out], left.cluster[~out])
        change, missed = (slopes - 1) * predicted[out], left.missing[out] - predicted[out]
        along += np.bincount(left.cluster[out], (change * missed).sum(axis=1), n)
        length += np.bincount(left.cluster[out], (change**2).sum(axis=1), n)
    taken = distance(along, length)
    if taken == 0:
        return np.ones(n_genes)
    predicted = left.mix(weights)
    predicted *= _common_slope(predicted, left.missing)
    slopes = random_slopes(predicted, left.missing, left.cluster)
    return 1 + taken * (slopes - 1)


def _common_slope(predicted: np.ndarray, missing: np.ndarray) -> float:
    """Return the slope through 0 that all genes share."""
    power = (predicted**2).sum()
    return max(0.0, float((predicted * missing).sum() / power)) if power > 0 else 1.0


def random_slopes(predicted: np.ndarray, missing: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """(G,) slopes about 1 of regressions through 0, each shrunk by its own standard error.

    With b_g = ⟨x_g, y_g⟩ / ⟨x_g, x_g⟩ and v_g its variance, robust to dependence within a
    perturbation, a_g = 1 + τ²/(τ² + v_g) (b_g − 1), and τ² by moments of Σ_g (b_g − 1)²/v_g.

    Parameters
    ----------
    predicted, missing
        (n, G) x and y.
    cluster
        (n,) numbers of perturbations.
    """
    power = (predicted**2).sum(axis=0)
    slopes = np.ones(predicted.shape[1])
    has = power > 0
    if not has.any():
        return slopes
    predicted, missing, power = predicted[:, has], missing[:, has], power[has]
    raw = (predicted * missing).sum(axis=0) / power
    scores = np.zeros((cluster.max() + 1, len(power)))
    np.add.at(scores, cluster, predicted * (missing - raw * predicted))
    variance = np.maximum((scores**2).sum(axis=0) / power**2, 1e-12)
    trust = 1 / variance
    spread = (trust * (raw - 1) ** 2).sum() - len(raw)
    freedom = trust.sum() - (trust**2).sum() / trust.sum()
    between = max(0.0, spread / freedom) if freedom > 0 else 0.0
    slopes[has] = 1 + between / (between + variance) * (raw - 1)
    return slopes
