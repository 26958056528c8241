"""Fit the variances of the Gaussian process by exact leave-one-out, with an exact gradient.

The loss is E = Σ_J ‖e_J + o_J‖² over the groups J that the protocol holds out, with
e_J = (P_JJ)⁻¹ (P δ)_J what leave-one-out misses of the values δ that the process mixes, and o what
these miss of the measured deviations: 0 where the process mixes the measured deltas themselves.
With r = P δ, u_J = (P_JJ)⁻¹ (e_J + o_J), and C the block-diagonal matrix of the u_J e_Jᵀ, a
covariance that is added with weight v changes it by

    ∂E/∂v = Σ_ij M_ij S_ij,    S = 2 P C P − 2 (P u) rᵀ,

since ∂P/∂v = −P M P: one matrix S serves all parts.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.posterior import Kernel, Posterior, Variances
from ptrag.arms.simple.line_means import left_out_line_means
from ptrag.cells.responses import Responses
from ptrag.retrieval.similarity import TextSimilarity
from ptrag.splits.protocols import IN_EVERY_LINE

FITTED_ON = 300  # perturbations that the variances are fitted on, at most
PRIOR = 0.1  # weight of the squared distance of the log variances from where they start
ROUNDS = 50
FEWEST = 3  # groups from which anything is fitted
ENOUGH = 10  # entries of the target line from which it is fitted to alone


def held_out(responses: Responses, lines: Sequence[str]) -> list[np.ndarray]:
    """Return the groups of rows that the protocol holds out one after another.

    Single entries of ``lines``; under ``unseen_line`` all entries of each of these; under
    ``unseen_perturbation`` and ``unseen_double`` all entries of each perturbation.
    """
    if responses.protocol == "unseen_line":
        return [rows for line in lines if len(rows := responses.rows(line))]
    if responses.protocol in IN_EVERY_LINE:
        return [responses.rows(perturbation=name) for name in responses.perturbations]
    return [row[None] for line in lines for row in responses.rows(line)]


def fitted_on(responses: Responses, lines: Sequence[str]) -> list[np.ndarray]:
    """Return the groups of :func:`held_out` that are like what is to be predicted.

    Under ``unseen_double`` those of doubles, unless there are too few to learn from.
    """
    groups = held_out(responses, lines)
    if responses.protocol == "unseen_double":
        doubles = [rows for rows in groups if "+" in responses.pairs[rows[0]].perturbation]
        return doubles if len(doubles) >= FEWEST else groups
    return groups


def fitted_lines(responses: Responses) -> list[str]:
    """Return the target line; all lines where there is none, or it has too few entries."""
    target = responses.target
    if target is not None and len(responses.rows(target)) >= ENOUGH:
        return [target]
    return responses.lines


def fit_variances(entries: Entries, text: TextSimilarity, read: bool) -> Variances:
    """Minimise the squared error of leave-one-out over the log variances.

    The start, towards which little data are pulled, shares the variance of the values equally
    among the kernel's parts. Above :data:`FITTED_ON` perturbations a seeded sample of them is
    used. ``reliability`` stays 1. Where texts are not ``read``, their variances are 0.
    """
    entries = _sample(entries)
    responses = entries.responses
    lines = fitted_lines(responses)
    if responses.protocol in IN_EVERY_LINE:  # one solution serves all lines
        lines = lines[:1]
    kernels = [Kernel(entries, text, line) for line in lines]
    start = _start(kernels[0], responses.protocol)
    if not read:
        start[1:3] = 0.0
    cases = [case for kernel in kernels if (case := _Case(kernel, start)).groups]
    free = start > 0
    origin = np.log(start[free])
    n = sum(len(case.groups) for case in cases)
    total = sum(case.total for case in cases)

    def variances(logs: np.ndarray) -> np.ndarray:
        values = np.zeros(len(start))
        values[free] = np.exp(logs)
        return values

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        values = variances(logs)
        errors, gradients = zip(*(case.error(values) for case in cases), strict=True)
        away = logs - origin
        gradient = (sum(gradients) * values)[free] / total + 2 * PRIOR / n * away
        return sum(errors) / total + PRIOR / n * (away @ away), gradient

    if n < FEWEST:
        return Variances(*start)
    bounds = [(at - 8, at + 5) for at in origin]
    fitted = minimize(
        loss, origin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ROUNDS}
    )
    return Variances(*variances(fitted.x))


class _Case:
    """One target line: its kernel and the groups that are held out."""

    def __init__(self, kernel: Kernel, start: np.ndarray) -> None:
        self.kernel, self.parts = kernel, list(kernel.parts())
        entries, responses = kernel.entries, kernel.responses
        line = responses.lines[kernel.target]
        groups = fitted_on(responses, [line])
        self.whole_line = responses.protocol == "unseen_line"
        if not self.whole_line:
            first = self._posterior(start)
            groups = [rows for rows in groups if first.informed(rows)]
        self.groups = groups
        self.lost = np.zeros_like(entries.values)  # o above
        if self.groups and entries.values is not responses.delta:
            rows = np.concatenate(self.groups)
            measured = responses.delta[rows] - left_out_line_means(responses, self.groups)
            self.lost[rows] = measured - entries.values[rows]
        self.total = sum(((entries.centred + self.lost)[rows] ** 2).sum() for rows in self.groups)

    def error(self, variances: np.ndarray) -> tuple[float, np.ndarray]:
        """Return E and its gradient with respect to the six variances."""
        posterior = self._posterior(variances)
        P, r = posterior.precision.dense(), posterior.precision.rotated
        error, start, held = 0.0, 0, np.concatenate(self.groups)
        u, C = np.zeros((len(held), r.shape[1])), np.zeros((len(held), len(held)))
        for rows in self.groups:
            block = P[np.ix_(rows, rows)]
            # of a whole line P_JJ knows no mean: with 1 added, errors are about their own
            block += block.diagonal().mean() * self.whole_line
            e = np.linalg.solve(block, r[rows])
            missed = e + self.lost[rows] - self.whole_line * self.lost[rows].mean(axis=0)
            at = slice(start, start := start + len(rows))
            u[at] = np.linalg.solve(block, missed)
            C[at, at] = u[at] @ e.T
            error += (missed**2).sum()
        P = P[:, held]
        S = 2 * P @ C @ P.T - 2 * (P @ u) @ r.T
        gradient = [np.vdot(part, S) for part in self.parts]
        return error, np.array([*gradient, np.trace(S)])

    def _posterior(self, values: np.ndarray) -> Posterior:
        variances = Variances(*values)
        weighted = zip(values[:-1], self.parts, strict=True)
        covariance = sum(value * part for value, part in weighted)
        noise = variances.nugget + variances.reliability * self.kernel.entries.noise
        covariance[np.diag_indices_from(covariance)] += noise
        return Posterior(self.kernel, variances, covariance=np.asfortranarray(covariance))


def _start(kernel: Kernel, protocol: str) -> np.ndarray:
    """(6,) variances to start from; zero is a part that the protocol has no use for.

    What is held out in every line has no measured response to be like others by; in a line without
    entries none can be read out.
    """
    noise = kernel.entries.noise.mean()
    signal = max((kernel.entries.centred**2).mean() - noise, 0.05 * noise, 1e-12)
    response = signal / max(kernel.response_variance, 1e-12) * (protocol not in IN_EVERY_LINE)
    in_line = response * (protocol != "unseen_line")
    return np.array([signal, signal, signal, response, in_line, 0.5 * signal]) / 5


def _sample(entries: Entries) -> Entries:
    names = entries.responses.perturbations
    if len(names) <= FITTED_ON:
        return entries
    kept = np.random.default_rng(0).choice(len(names), FITTED_ON, replace=False)
    return entries.without(np.flatnonzero(~np.isin(entries.responses.perturbation_of, kept)))
