"""The members of the expert: ways to mix measured responses, each with exact leave-one-out.

A simple member is a simple arm, as coefficients ω of the measured deltas. A process member is a
Gaussian process (:mod:`ptrag.arms.expert.posterior`) on the measured deltas, or on shrunken
deviations (:mod:`ptrag.arms.expert.sparse`), whose mixture is then added to the line's mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ptrag.arms.expert.components import ComponentPosterior, Components
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.posterior import Kernel, Variances
from ptrag.arms.simple.coefficients import mix
from ptrag.cells.responses import Responses
from ptrag.retrieval.similarity import TextSimilarity

BLOCK = 1024  # coefficients of so many pairs are multiplied with the deltas at once

Coefficients = Callable[[str, str, np.ndarray], np.ndarray]
"""(line, perturbation, (N,) entries that may be used) → (N,) ω."""


class Mixture(Protocol):
    """What a member says of one pair."""

    omega: np.ndarray  # (N,), a mean over components
    delta: np.ndarray  # (G,)

    def without(self, entry: int) -> np.ndarray:
        """(G,) what it would say, had it not this entry to retrieve."""


@dataclass
class Simple:
    """A simple arm: every prediction is its coefficients times the measured deltas."""

    responses: Responses
    coefficients: Coefficients

    def mixture(self, line: str, perturbation: str, keep: np.ndarray) -> "SimpleMixture":
        """Predict a pair."""
        return SimpleMixture(self, line, perturbation, keep)

    def left_out(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n, G) predictions of the entries of ``groups``, each without its group."""
        pairs, keep = self.responses.pairs, np.ones(len(self.responses.delta), bool)
        predicted, omegas = [], []
        for group in groups:
            keep[group] = False
            omegas += [self.coefficients(*pairs[i], keep) for i in group]
            keep[group] = True
            if len(omegas) >= BLOCK:
                predicted.append(np.array(omegas) @ self.responses.delta)
                omegas = []
        if omegas:
            predicted.append(np.array(omegas) @ self.responses.delta)
        return np.concatenate(predicted)


class SimpleMixture:
    """What a simple member says of one pair."""

    def __init__(self, member: Simple, line: str, perturbation: str, keep: np.ndarray) -> None:
        self._member, self._pair, self._keep = member, (line, perturbation), keep
        self.omega = member.coefficients(line, perturbation, keep)
        self.delta = mix(self.omega, member.responses.delta)

    def without(self, entry: int) -> np.ndarray:
        """(G,) what it would say, had it not this entry to retrieve."""
        rest = self._keep.copy()
        rest[entry] = False
        omega = self._member.coefficients(*self._pair, rest)
        return self.delta + mix(omega - self.omega, self._member.responses.delta)


@dataclass
class Process:
    """A fitted Gaussian process.

    Attributes
    ----------
    entries
        What it mixes.
    text
        Likeness of texts.
    variances, components
        Fitted.
    """

    entries: Entries
    text: TextSimilarity
    variances: Variances
    components: Components
    _latest: tuple[str, ComponentPosterior] | None = field(default=None, init=False, repr=False)

    def posterior(self, line: str) -> ComponentPosterior:
        """Return the solved process of a target line; the latest is kept.

        Where likeness of responses does not count, one solution serves all lines.
        """
        if self._latest is None:
            self._latest = line, self._solved(self.entries, line)
        elif self._latest[0] != line and not self.variances.of_responses:
            self._latest = line, self._latest[1].of_line(line)
        elif self._latest[0] != line:
            self._latest = None  # two of them need not fit into memory
            return self.posterior(line)
        return self._latest[1]

    def mixture(self, line: str, perturbation: str, keep: np.ndarray) -> "ProcessMixture":
        """Predict a pair."""
        own = np.flatnonzero(~keep)
        if len(own) and not np.array_equal(own, self.entries.responses.rows(line, perturbation)):
            raise ValueError("a process member leaves out the pair's own entry, nothing else")
        return ProcessMixture(self, line, perturbation)

    def left_out(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n, G) predictions of the entries of ``groups``, each without its group."""
        pairs, values = self.entries.responses.pairs, self.entries.values
        predicted = []
        for group in groups:
            posterior = self.posterior(pairs[group[0]][0])
            if posterior.informed(group):
                predicted.append(values[group] - posterior.residuals(group))
                continue
            rest = self.entries.without(group)
            solved = {line: self._solved(rest, line) for line in {pairs[i][0] for i in group}}
            for i in group:
                line, perturbation = pairs[i]
                omega = solved[line].coefficients(perturbation)
                predicted.append(solved[line].mix(omega)[None])
        return np.concatenate(predicted)

    def left_out_variance(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n,) variance of the noise-free deltas about :meth:`left_out`; NaN where unknown."""
        pairs, variances = self.entries.responses.pairs, []
        for group in groups:
            posterior = self.posterior(pairs[group[0]][0])
            informed = posterior.informed(group)
            variances.append(
                posterior.left_out_variance(group) if informed else np.full(len(group), np.nan)
            )
        return np.concatenate(variances)

    def _solved(self, entries: Entries, line: str) -> ComponentPosterior:
        kernel = Kernel(entries, self.text, line)
        return ComponentPosterior(kernel, self.variances, self.components)


class ProcessMixture:
    """What a process says of one pair."""

    def __init__(self, member: Process, line: str, perturbation: str) -> None:
        self._posterior, self._perturbation = member.posterior(line), perturbation
        self._by_component = self._posterior.coefficients(perturbation)
        self.omega = member.components.share @ self._by_component
        self.delta = self._posterior.mix(self._by_component)

    @property
    def variance(self) -> float:
        """Variance of the pair's noise-free delta about the prediction."""
        return self._posterior.variance(self._perturbation, self._by_component)

    def without(self, entry: int) -> np.ndarray:
        """(G,) what it would say, had it not this entry to retrieve."""
        change = self._posterior.deletion(self._perturbation, self._by_component, entry)
        return self.delta + change
