"""The closed-form expert: measured responses, weighted by what leave-one-out finds they are worth.

δ̂(p, t) = Σ_m w_m δ̂_m(p, t) over the members

    posterior           the Gaussian process of :mod:`ptrag.arms.expert.posterior`
    line_mean, perturbation_mean, additive, knn      of :mod:`ptrag.arms.simple.coefficients`
    ridge               of :mod:`ptrag.arms.simple.ridge`

each of which is a mixture of entries, so that δ̂ = Σ_i ω_i δ_i. What is fitted (the variances of
the process, then w: :mod:`ptrag.arms.expert.mixture`) minimises the squared error of *exact*
leave-one-out predictions of what the protocol holds out: under ``unseen_combination`` an entry
of the target line, under ``unseen_perturbation`` all entries of a perturbation. Little data
must not be over-fitted, so each step away from ``line_mean``, to the best simple member alone and
from there to the mixture, is taken only where it gains more than two standard errors over
perturbations; so are the steps to tell components apart and to read texts where the same
perturbation was measured in other lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from ptrag.arms.estimate import Candidate, Estimate
from ptrag.arms.expert.components import ComponentPosterior, Components
from ptrag.arms.expert.mixture import LeftOut, clear, fit_weights, mix
from ptrag.arms.expert.posterior import Kernel, Variances
from ptrag.arms.expert.variances import fit_variances, fitted_lines, held_out
from ptrag.arms.simple import coefficients as simple
from ptrag.arms.simple.ridge import Regression, fit_penalty
from ptrag.cells.responses import Responses
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.index import Neighbours
from ptrag.retrieval.similarity import TextSimilarity

MEMBERS = ("posterior", "line_mean", "perturbation_mean", "additive", "ridge", "knn")
BY_TEXT = ("ridge", "knn")  # members that are nothing without texts

UNKNOWN = "no measured response and no text: line_mean"
NO_ENTRY = "no training pair in the line: mean of all lines"


@dataclass
class Expert:
    """The fitted expert: (line, perturbation) → Estimate.

    Attributes
    ----------
    responses, text, neighbours
        What it retrieves from: N measured entries, likeness of texts, stage one's candidates.
    k
        Neighbours of the member ``knn``, and candidates in an estimate's evidence (those of
        largest |ω|).
    variances, components
        Of the Gaussian process, and the directions in which it is solved.
    penalty
        Of the regression.
    weights
        w of each of :data:`MEMBERS`; a missing one is zero.
    """

    responses: Responses
    text: TextSimilarity
    neighbours: Neighbours
    k: int
    variances: Variances
    components: Components
    penalty: float
    weights: dict[str, float]
    _latest: tuple[str, ComponentPosterior] | None = field(default=None, init=False, repr=False)

    def __call__(self, line: str, perturbation: str) -> Estimate:
        """Predict a pair; its own entry, if it was trained on, does not serve it."""
        keep = self._others(line, perturbation)
        if not self._known(perturbation, keep):
            omega = simple.line_mean(self.responses, line, keep)
            return Estimate(omega @ self.responses.delta, note=UNKNOWN)
        omegas = self._coefficients(line, perturbation, keep)
        omega, delta = np.zeros(len(keep)), np.zeros(self.responses.delta.shape[1])
        for member, its in omegas.items():
            gates = self.components.share @ its if its.ndim == 2 else its
            omega += self.weights[member] * gates
            delta += self.weights[member] * self._mix(its)
        candidates = self._candidates(line, perturbation, keep, omegas, omega, delta)
        return Estimate(delta, candidates, self._note(line, keep))

    def leave_one_out(self) -> np.ndarray:
        """(N, G) delta of every entry, predicted without what the protocol would hold out.

        Without the entry itself, or under ``unseen_perturbation`` without any entry of its
        perturbation; exactly what an expert with the same variances and weights says that has
        never seen them.
        """
        groups = held_out(self.responses, self.responses.lines)
        total = np.zeros_like(self.responses.delta)
        for member, weight in self.weights.items():
            if weight:
                total += weight * self.left_out(member, groups)
        predicted = np.zeros_like(self.responses.delta)
        predicted[np.concatenate(groups)] = total
        for group in groups:
            self._back_off(group, predicted)
        return predicted

    def _back_off(self, group: np.ndarray, predicted: np.ndarray) -> None:
        """Put :func:`simple.line_mean` where nothing is left to retrieve by."""
        entries = self.responses.entries
        keep = np.ones(len(entries), bool)
        keep[group] = False
        if self._known(entries["perturbation"][group[0]], keep):
            return
        for i in group:
            omega = simple.line_mean(self.responses, entries["cell_line"][i], keep)
            predicted[i] = omega @ self.responses.delta

    def _known(self, perturbation: str, keep: np.ndarray) -> bool:
        return perturbation in self.text or self.responses.measures(perturbation, keep)

    def left_out(self, member: str, groups: Sequence[np.ndarray]) -> np.ndarray:
        """(n, G) one member's predictions for the entries of ``groups``, each without its group."""
        delta, entries = self.responses.delta, self.responses.entries
        pairs = list(zip(entries["cell_line"], entries["perturbation"], strict=True))
        predicted = []
        for group in groups:
            posterior = self.posterior(pairs[group[0]][0]) if member == "posterior" else None
            if posterior and posterior.told(group):
                predicted.append(delta[group] - posterior.residuals(group))
                continue
            keep = np.ones(len(delta), bool)
            keep[group] = False
            predicted += [self._mix(self._member(member, *pairs[i], keep))[None] for i in group]
        return np.concatenate(predicted)

    def posterior(self, line: str) -> ComponentPosterior:
        """Return the Gaussian process of a target line; the latest is kept."""
        if self._latest is None or self._latest[0] != line:
            self._latest = None  # two of them need not fit into memory
            kernel = Kernel(self.responses, self.text, line)
            self._latest = line, ComponentPosterior(kernel, self.variances, self.components)
        return self._latest[1]

    @cached_property
    def _regression(self) -> Regression:
        return Regression(self.responses, self.text, self.penalty)

    def _mix(self, omega: np.ndarray) -> np.ndarray:
        """(G,) Σ ω δ of (N,), or (C, N) by component; reads no entries that do not count."""
        if omega.ndim == 2:
            return self.components.mix(omega, self.responses.delta)
        rows = np.flatnonzero(omega)
        if 4 * len(rows) < len(omega):
            return omega[rows] @ self.responses.delta[rows]
        return omega @ self.responses.delta

    def _others(self, line: str, perturbation: str) -> np.ndarray:
        keep = np.ones(len(self.responses.entries), bool)
        keep[self.responses.rows(line, perturbation)] = False
        return keep

    def _coefficients(
        self, line: str, perturbation: str, keep: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return ω of every member that has a weight: (N,), of the posterior (C, N)."""
        return {
            member: self._member(member, line, perturbation, keep)
            for member, weight in self.weights.items()
            if weight
        }

    def _member(self, member: str, line: str, perturbation: str, keep: np.ndarray) -> np.ndarray:
        """Return ω of one member that may use the entries of ``keep``."""
        if member == "posterior":
            if (keep == self._others(line, perturbation)).all():
                return self.posterior(line).coefficients(perturbation)
            kernel = Kernel(self.responses.without(np.flatnonzero(~keep)), self.text, line)
            rest = ComponentPosterior(kernel, self.variances, self.components)
            omega = np.zeros((len(self.components.share), len(keep)))
            omega[:, keep] = rest.coefficients(perturbation)
            return omega
        if member == "line_mean":
            return simple.line_mean(self.responses, line, keep)
        if member == "ridge":
            return self._regression.coefficients(line, perturbation, keep)
        if member == "knn":
            return simple.knn(self.responses, line, *self._near(perturbation), keep)
        return getattr(simple, member)(self.responses, line, perturbation, keep)

    def _near(self, perturbation: str) -> tuple[list[str], np.ndarray]:
        """Return the k nearest perturbations by text and their similarities."""
        if perturbation not in self.neighbours.names:
            return [], np.zeros(0)
        names, similarity = self.neighbours.candidates(perturbation)
        return names[: self.k], similarity[: self.k]

    def _candidates(
        self,
        line: str,
        perturbation: str,
        keep: np.ndarray,
        omegas: dict[str, np.ndarray],
        omega: np.ndarray,
        delta: np.ndarray,
    ) -> tuple[Candidate, ...]:
        """Return the entries of largest |ω|, and what δ̂ would be had each not been retrieved."""
        entries = self.responses.entries
        candidates = []
        for j in np.argsort(-np.abs(omega), kind="stable")[: self.k]:
            if omega[j] == 0:
                break
            name, where = entries["perturbation"][j], entries["cell_line"][j]
            rest = keep.copy()
            rest[j] = False
            change = np.zeros(len(delta))
            for member, its in omegas.items():
                if member == "posterior":
                    moved = self.posterior(line).deletion(perturbation, its, j)
                else:
                    without = self._member(member, line, perturbation, rest)
                    moved = self._mix(without - its)
                change += self.weights[member] * moved
            similarity = self.text.cosine([perturbation], [name])[0, 0]
            candidates.append(Candidate(f"{name} in {where}", similarity, omega[j], delta + change))
        return tuple(candidates)

    def _note(self, line: str, keep: np.ndarray) -> str:
        if not keep[self.responses.rows(line)].any():
            return NO_ENTRY
        if not self.weights.get("posterior"):
            told = [member for member, weight in self.weights.items() if weight]
            return f"leave-one-out finds no gain over {', '.join(told) or 'no change'}"
        return ""


def fit_expert(
    responses: Responses, embedding: Embedding, neighbours: Neighbours, options: dict[str, Any]
) -> Expert:
    """Fit variances, then weights, on exact leave-one-out predictions; nothing is random.

    Parameters
    ----------
    responses
        Training entries, protocol and target line.
    embedding, neighbours
        Vectors of perturbations and stage one's candidates.
    options
        ``topk_rag``: k of :class:`Expert`.
    """
    text = TextSimilarity(embedding, responses.perturbations)
    variances = cache(partial(fit_variances, responses, text))

    penalty = fit_penalty(responses, text)

    def fitted(read: bool, components: Components) -> tuple[Expert, LeftOut]:
        expert = Expert(
            responses, text, neighbours, options["topk_rag"], variances(read), components, penalty,
            {},
        )  # fmt: skip
        members = [member for member in MEMBERS if read or member not in BY_TEXT]
        left = leave_out(expert, members)
        expert.weights = fit_weights(left)
        return expert, left

    new, found = responses.protocol == "unseen_perturbation", Components.of(responses)
    settled = {"read": new, "components": Components.one(len(responses.genes))}
    expert, left = fitted(**settled)
    steps = [{"components": found}] if found.directions else []
    steps += [] if new else [{"read": True}]  # of a new perturbation, text is all there is
    for step in steps:
        other, its = fitted(**settled | step)
        gain = left.errors(mix(left, expert.weights)) - its.errors(mix(its, other.weights))
        if clear(gain):
            expert, left, settled = other, its, settled | step
    return expert


def leave_out(expert: Expert, members: Sequence[str] = MEMBERS) -> LeftOut:
    """Predict by every member, each without what the protocol holds out together with it."""
    responses = expert.responses
    groups = held_out(responses, fitted_lines(responses))
    rows = np.concatenate(groups)
    return LeftOut(
        {member: expert.left_out(member, groups) for member in members},
        responses.delta[rows],
        responses.line_of[rows],
        responses.perturbation_of[rows],
    )
