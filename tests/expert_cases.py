"""An expert with given variances and weights, and by loops the system that it has to solve."""

from dataclasses import replace

import numpy as np
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert.components import Components
from ptrag.arms.expert.expert import Expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.posterior import Variances
from ptrag.arms.expert.sparse import shrunken
from ptrag.arms.expert.stacking import Stack
from ptrag.arms.simple.ridge import fit_penalty
from ptrag.retrieval.similarity import TextSimilarity
from ptrag.splits.protocols import IN_ONE_LINE

COMBINATION = Variances(0.3, 0.2, 0.15, 0.4, 0.5, 0.02)
NEW = Variances(0.3, 0.2, 0.15, 0.0, 0.0, 0.02)
MIXTURE = {
    "perturbation_mean": 0.05, "additive": 0.1, "additive_singles": 0.05,
    "process": 0.2, "sparse_process": 0.15, "ridge": 0.15, "knn": 0.2, "text_process": 0.3,
}  # fmt: skip


def make(protocol="unseen_combination", weights=MIXTURE, components=False, slopes=False, **facts):
    """An expert with given variances, weights and perhaps components, and slopes with a level."""
    target = "b" if protocol in IN_ONE_LINE else None
    responses = draw_responses(seed=7, protocol=protocol, target=target, **facts)
    if protocol == "unseen_line":
        responses = responses.without(responses.rows("b"))
    embedding = draw_embedding(doubles=facts.get("doubles", 0))
    text = TextSimilarity(embedding, responses.perturbations)
    neighbours = nearest(embedding, responses.perturbations)
    reading = COMBINATION if target else NEW
    variances = {
        "text_process": reading,
        "process": replace(reading, text=0.0, text_in_line=0.0),
        "sparse_process": replace(reading, text=0.0, text_in_line=0.0, same=0.1),
    }
    directions = two_groups(responses) if components else Components.one(len(responses.genes))
    slope = np.ones(len(responses.genes))
    if slopes:
        slope = np.random.default_rng(2).uniform(0.5, 1.5, len(slope))
    level = Level.plain(responses)
    if slopes:
        level = replace(Level.fitted(responses), followed=0.7)
    return Expert(
        responses, text, neighbours, 4, shrunken(responses), variances, directions,
        fit_penalty(responses, text), level, Stack(dict(weights), slope),
    )  # fmt: skip


def two_groups(responses, seed=3):
    """Two groups of random directions and what is left, in units of genes of their own."""
    rng = np.random.default_rng(seed)
    G = len(responses.genes)
    Q = np.linalg.qr(rng.normal(size=(G, 4)))[0].T
    share = np.array([0.5, 0.3, 0.2])
    return Components(rng.uniform(0.5, 2, G), [Q[:1], Q[1:]], np.array([0.2, 1.0, 5.0]), share)


def less(expert, rows):
    """The same expert, had it never seen some entries."""
    rest = expert.responses.without(rows)
    return replace(expert, responses=rest, shrunken=expert.shrunken.without(rows))


def weighing(expert, weights):
    """The same expert with other weights, slopes of one and means for levels."""
    stack = Stack(weights, np.ones(len(expert.responses.genes)))
    return replace(expert, stack=stack, level=Level.plain(expert.responses))


def posterior(expert, line, name="text_process"):
    """The solved process of a line."""
    return expert.member(name).posterior(line)


def pair(responses, i):
    return responses.entries["cell_line"][i], responses.entries["perturbation"][i]


def covariance(responses, text, variances, target, centred=False):
    """Entry-by-entry covariances of the docstring, by loops; ``centred`` deltas are not again."""
    r, v, n = responses, variances, len(responses.entries)
    mean = {line: r.delta[r.rows(line)].mean(axis=0) for line in r.lines if len(r.rows(line))}
    if centred:
        mean = dict.fromkeys(r.lines, 0.0)

    def address(name):
        its = [i for i in range(n) if pair(r, i)[1] == name and pair(r, i)[0] != target]
        if not its:
            return np.zeros(len(r.genes))
        return np.mean([r.delta[i] - mean[pair(r, i)[0]] for i in its], axis=0)

    names = [*r.perturbations, "new", "P02+P09"]
    addresses = {name: address(name) for name in names}
    likeness = {p: dict(zip(names, text.kernel([p], names)[0], strict=True)) for p in names}

    def between(one, other):
        (l, p), (m, q) = one, other  # noqa: E741
        response = addresses[p] @ addresses[q] / len(r.genes)
        similar = likeness[p][q]
        return (
            v.same * len({*p.split("+")} & {*q.split("+")})
            + v.text * similar + v.text_in_line * similar * (l == m)
            + v.response * response + v.response_in_line * response * (l == m == target)
        )  # fmt: skip

    return between


def kriging(responses, text, variances, target, name, keep=None, addresses=None, centred=False):
    """Prediction, ω and variance of (name, target) from the whole kriging system."""
    keep = np.arange(len(responses.entries)) if keep is None else np.asarray(keep)
    between = covariance(addresses or responses, text, variances, target, centred)
    pairs = [pair(responses, i) for i in keep]
    signal = np.array([[between(a, b) for b in pairs] for a in pairs])
    noise = responses.own_variance.mean(axis=1)[keep]
    K = signal + np.diag(variances.nugget + variances.reliability * noise)
    lines = sorted({line for line, _ in pairs})
    H = np.array([[line == other for other in lines] for line, _ in pairs], float)
    system = np.block([[K, H], [H.T, np.zeros((len(lines), len(lines)))]])
    cross = np.array([between((target, name), other) for other in pairs])
    right = [*cross, *(float(line == target) for line in lines)]
    omega = np.linalg.solve(system, right)[: len(keep)]
    own = between((target, name), (target, name)) + variances.nugget
    variance = own - 2 * omega @ cross + omega @ K @ omega
    return omega @ responses.delta[keep], omega, variance
