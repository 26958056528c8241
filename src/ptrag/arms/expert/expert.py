"""The closed-form expert: measured responses, weighted by what leave-one-out finds they are worth.

    δ̂_g(p, t) = κ θ̂_g(t) + r_g(t) a_g Σ_m w_m (δ̂_mg(p, t) − m_g(t))

with θ̂ the line's level (:mod:`ptrag.arms.expert.level`), κ how much of it counts
(:mod:`ptrag.arms.expert.direction`), m the mean of its entries, r how far responses reach in a line
without entries, else 1 (:mod:`ptrag.arms.expert.reach`), and δ̂_m the members:

    perturbation_mean, additive, additive_singles, ridge, knn
                        the simple arms (:mod:`ptrag.arms.simple`)
    process             a Gaussian process on measured deltas (:mod:`ptrag.arms.expert.posterior`)
    sparse_process      the same on shrunken deviations (:mod:`ptrag.arms.expert.sparse`)
    text_process        as ``process``, reading likeness of texts too

Each is a mixture of entries, so δ̂ is one, too. The variances of the processes, the weights w ≥ 0
and the slopes a are fitted to *exact* leave-one-out predictions of what the protocol holds out:
under ``unseen_combination`` an entry of the target line, under ``unseen_perturbation`` all entries
of a perturbation, under ``unseen_double`` those of a double, under ``unseen_line`` of a line.
Little data must not be over-fitted: from the line's level (of doubles: from the sum of their
singles), the members are added step by step (simple before processes, responses before texts),
each step only as far as it is confirmed (:mod:`ptrag.arms.expert.stacking`). With w 1 for a simple
member, slopes and κ of 1, and the line's mean for its level, the expert is that arm; without
weights it is ``line_mean``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from ptrag.arms.estimate import Candidate, Estimate, Origin
from ptrag.arms.expert.components import Components
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.members import Mixture, Process, Simple
from ptrag.arms.expert.posterior import Variances
from ptrag.arms.expert.signs import Signs
from ptrag.arms.expert.spread import Spread
from ptrag.arms.expert.stacking import Stack
from ptrag.arms.expert.variances import held_out
from ptrag.arms.simple import coefficients as simple
from ptrag.arms.simple.line_means import LineMeans, left_out_line_means
from ptrag.arms.simple.ridge import Regression
from ptrag.cells.responses import Responses
from ptrag.retrieval.index import Neighbours
from ptrag.retrieval.similarity import TextSimilarity

STEPS = (
    ("perturbation_mean", "additive", "additive_singles"), ("process", "sparse_process"),
    ("ridge", "knn"), ("text_process",),
)  # fmt: skip
BEFOREHAND = {"unseen_double": {"additive_singles": 1.0}}
"""{protocol: weights before anything is confirmed}: a double is the sum of its singles, until a
screen with enough doubles says otherwise."""
PROCESSES = ("process", "sparse_process", "text_process")
DEVIATIONS = "sparse_process"  # mixes deviations from the line's mean; the others, deltas

UNKNOWN = "no measured response and no text: the level of the line"
NO_ENTRY = "no training pair in the line: its level is that of other lines"
NO_GAIN = "leave-one-out finds no gain over the level of the line"


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
    shrunken
        The entries as ``sparse_process`` mixes them; None where their noise is not known.
    variances, components
        Of the processes that were fitted, and the directions in which those on measured deltas
        are solved.
    penalty
        Of the regression.
    level
        What all perturbations of a line share.
    stack
        Weights of the members of :data:`STEPS`, a missing one is zero, and slopes.
    share
        κ, how much of the level a delta counts.
    spread, signs
        How far truth is from predictions, and how often on the other side.
    """

    responses: Responses
    text: TextSimilarity
    neighbours: Neighbours
    k: int
    shrunken: Entries | None
    variances: dict[str, Variances]
    components: Components
    penalty: float
    level: Level
    stack: Stack
    share: float = 1.0
    spread: Spread | None = None
    signs: Signs | None = None
    _members: dict[str, Simple | Process] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, line: str, perturbation: str) -> Estimate:
        """Predict a pair; its own entry, if it was trained on, does not serve it."""
        keep = np.ones(len(self.responses.entries), bool)
        keep[self.responses.rows(line, perturbation)] = False
        number = self.responses.lines.index(line)
        shared = _Shared(self, number, self._means.without(np.flatnonzero(~keep)), keep)
        parts = {}
        if self._known(perturbation, keep):
            for name in self.stack.weights:
                parts[name] = self.member(name).mixture(line, perturbation, keep)
        deltas = {name: part.delta for name, part in parts.items()}
        beyond = shared.reach * self._beyond(shared.mean, deltas)
        delta = shared.level + beyond
        candidates = self._candidates(line, perturbation, shared, parts) if parts else ()
        note = self._note(line, perturbation, keep)
        if self.spread is None:
            return Estimate(delta, candidates, note, origin=shared.origin)
        leading = parts.get(self.leading)
        variance = leading.variance if leading else self.spread.usual
        sd = self.spread.sd(beyond, variance, self._uncounted(number, shared.left))
        return Estimate(delta, candidates, note, sd, self.signs.rate(delta, sd), shared.origin)

    def knows(self, perturbation: str) -> bool:
        """Whether it has a vector of a perturbation, or a response to it or to one of its genes."""
        return self._known(perturbation, np.ones(len(self.responses.entries), bool))

    def with_line(self, line: str, mean: np.ndarray, se: np.ndarray) -> "Expert":
        """Return the same expert with one more line, of which controls alone are known.

        The line has the level of one without entries, and what is fitted stays.
        """
        responses, sparse = self.responses.with_line(line, mean, se), self.shrunken
        return replace(
            self,
            responses=responses,
            shrunken=sparse and Entries.shrunken(responses, sparse.values, sparse.noise),
            level=self.level.with_line(line, responses),
        )

    def learn(self, names: Sequence[str], vectors: np.ndarray) -> None:
        """Take in the vectors of new perturbations (:meth:`TextSimilarity.learn`)."""
        self.text.learn(names, vectors)

    def leave_one_out(self) -> np.ndarray:
        """(N, G) delta of every entry, predicted without what the protocol would hold out.

        Without the entry itself, or under ``unseen_perturbation`` without any entry of its
        perturbation; exactly what an expert with the same fitted values says that has never seen
        them.
        """
        groups = held_out(self.responses, self.responses.lines)
        mean = left_out_line_means(self.responses, groups)
        deltas = {name: self.member(name).left_out(groups) for name in self.stack.weights}
        beyond, known = self._beyond(mean, deltas), []
        beyond *= self.level.left_out_reach(self.responses, groups)
        keep = np.ones(len(self.responses.entries), bool)
        for group in groups:
            keep[group] = False
            known += [self._known(self.responses.pairs[i].perturbation, keep) for i in group]
            keep[group] = True
        beyond[~np.array(known)] = 0.0
        predicted = np.empty_like(beyond)
        level = self.share * self.level.left_out(self.responses, groups)
        predicted[np.concatenate(groups)] = level + beyond
        return predicted

    def left_out_starts(self) -> np.ndarray:
        """(N, G) what :meth:`leave_one_out` starts from, less the mean of the given controls."""
        groups = held_out(self.responses, self.responses.lines)
        starts = np.empty_like(self.responses.delta)
        starts[np.concatenate(groups)] = self.level.left_out_control_error(
            self.responses, groups
        ) + (1 - self.share) * self.level.left_out(self.responses, groups)
        return starts

    def left_out(self, name: str, groups: Sequence[np.ndarray], mean: np.ndarray) -> np.ndarray:
        """(n, G) what a member says beyond the line's ``mean``, each entry without its group."""
        predicted = self.member(name).left_out(groups)
        return predicted if name == DEVIATIONS else predicted - mean

    def member(self, name: str) -> Simple | Process:
        """Return a member by name, ready to mix; it is made once."""
        if name not in self._members:
            self._members[name] = self._made(name)
        return self._members[name]

    def keep_solved(self, names: Collection[str]) -> None:
        """Free the memory of the members that are not named; they can be made again."""
        self._members = {name: member for name, member in self._members.items() if name in names}

    @cached_property
    def _means(self) -> LineMeans:
        return LineMeans.of_all(self.responses)

    @property
    def leading(self) -> str | None:
        """The process with the largest weight, which says how well a pair is known."""
        weights = {n: w for n, w in self.stack.weights.items() if n in PROCESSES}
        return max(weights, key=weights.get) if weights else None

    def _made(self, name: str) -> Simple | Process:
        responses = self.responses
        if name == DEVIATIONS:
            one = Components.one(len(responses.genes))
            return Process(self.shrunken, self.text, self.variances[name], one)
        if name in PROCESSES:
            measured = Entries.measured(responses)
            return Process(measured, self.text, self.variances[name], self.components)
        coefficients = {
            "perturbation_mean": partial(simple.perturbation_mean, responses),
            "additive": partial(simple.additive, responses),
            "additive_singles": partial(simple.additive_singles, responses),
            "ridge": Regression(responses, self.text, self.penalty).coefficients,
            # of self it holds nothing: an expert in a cycle would not be freed when it is done with
            "knn": partial(_nearest, responses, self.neighbours, self.k),
        }
        return Simple(responses, coefficients[name])

    def _known(self, perturbation: str, keep: np.ndarray) -> bool:
        genes = {perturbation, *perturbation.split("+")}
        return perturbation in self.text or any(self.responses.measures(g, keep) for g in genes)

    def _beyond(self, mean: np.ndarray, deltas: Mapping[str, np.ndarray]) -> np.ndarray:
        """(…, G) what the mixture of members says beyond the line's mean."""
        beyond = np.zeros_like(mean)
        for name, delta in deltas.items():
            beyond += self.stack.weights[name] * (delta if name == DEVIATIONS else delta - mean)
        return self.stack.slopes * beyond

    def _uncounted(self, line: int, left: np.ndarray) -> np.ndarray:
        """(G,) squared error that a line's level leaves: its variance, and what no delta counts."""
        return self.level.variance[line] + left**2

    def _candidates(
        self, line: str, perturbation: str, shared: "_Shared", parts: Mapping[str, Mixture]
    ) -> tuple[Candidate, ...]:
        """Return the entries of largest |ω|, and what δ̂ would be had each not been retrieved."""
        omega = self.share * shared.omega()
        slope = (shared.reach * self.stack.slopes).mean()
        mean = simple.line_mean(self.responses, line, shared.keep)
        for name, part in parts.items():
            base = 0.0 if name == DEVIATIONS else mean
            omega += slope * self.stack.weights[name] * (part.omega - base)
        candidates = []
        for j in np.argsort(-np.abs(omega), kind="stable")[: self.k]:
            if omega[j] == 0:
                break
            rest = shared.without(j)
            without = {name: part.without(j) for name, part in parts.items()}
            pair = self.responses.pairs[j]
            similarity = self.text.cosine([perturbation], [pair.perturbation])[0, 0]
            delta = rest.level + rest.reach * self._beyond(rest.mean, without)
            candidates.append(
                Candidate(
                    pair.perturbation, pair.cell_line, similarity, omega[j], delta, rest.origin
                )
            )
        return tuple(candidates)

    def _note(self, line: str, perturbation: str, keep: np.ndarray) -> str:
        if not self._known(perturbation, keep):
            return UNKNOWN
        if not keep[self.responses.rows(line)].any():
            return NO_ENTRY
        return "" if self.stack.weights else NO_GAIN


def _nearest(
    responses: Responses,
    neighbours: Neighbours,
    k: int,
    line: str,
    perturbation: str,
    keep: np.ndarray,
) -> np.ndarray:
    return simple.knn(responses, line, *neighbours.nearest(perturbation, k), keep)


class _Shared:
    """What all perturbations of a line share, from the entries to keep."""

    def __init__(self, expert: Expert, line: int, means: LineMeans, keep: np.ndarray) -> None:
        self._expert, self._line, self._means, self.keep = expert, line, means, keep
        self.mean, level = means.mean(line), expert.level.of(line, means)
        self.reach = expert.level.reach(line, means)
        self.level, self.left = expert.share * level, (1 - expert.share) * level
        given = expert.responses.control_mean[expert.responses.lines[line]]
        self.origin = Origin(given, expert.level.control_error(line, means), self.left)

    def omega(self) -> np.ndarray:
        """(N,) coefficients of the entries in the level."""
        return self._expert.level.omega(self._line, self._expert.responses, self.keep)

    def without(self, entry: int) -> "_Shared":
        """Return what would be shared, had one entry not been retrieved."""
        keep = self.keep.copy()
        keep[entry] = False
        return _Shared(self._expert, self._line, self._means.without([entry]), keep)
