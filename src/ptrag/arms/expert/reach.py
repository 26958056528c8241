"""How far a response reaches in a line that has no entry: what the line expresses decides.

A perturbation changes a gene's counts by a factor, which the log1p scale shows only as far as the
gene is expressed. With c a mean of log1p values, a factor 1 + φ moves it by about φ h(c),

    h(c) = 1 − e^{−c},

so what lines l with control profiles c_l say of a gene is worth, in a line t,

    r_t = (h(c_t) + ε) / (mean_l h(c_l) + ε)

times as much: a ratio of sums, in which lines that hardly express the gene, and are noisy, count
little. How much of this holds on a screen, from none to all of it, is learnt by leaving out one
line after another: the reach of line t is 1 + c (r_t − 1), with c the distance
(:func:`ptrag.arms.expert.stacking.distance`) for which the other lines' mean responses to the same
perturbation, so scaled, come nearer to what was measured.

A line with entries says by itself how far responses reach.
"""

import numpy as np

from ptrag.arms.expert.stacking import distance
from ptrag.arms.simple.line_means import LineMeans
from ptrag.cells.responses import Responses

LEAST = 0.1  # ε: expression below which a gene's change is hardly seen


def reach(carried: float, line: int, means: LineMeans) -> np.ndarray:
    """(G,) 1 + c (r − 1) of a line by number, against the other lines with entries.

    Parameters
    ----------
    carried
        c.
    line, means
        The line, and the entries that may be used.
    """
    others = means.counts > 0
    others[line] = False
    responses = means.responses
    if carried == 0 or not others.any():
        return np.ones(len(responses.genes))
    controls = np.array([responses.control_mean[name] for name in responses.lines])
    shown = -np.expm1(-np.maximum(controls, 0.0))  # h
    ratio = (shown[line] + LEAST) / (shown[others].mean(axis=0) + LEAST)
    return 1 + carried * (ratio - 1)


def fit_reach(responses: Responses) -> float:
    """Return c, from what the other lines say of the entries of each line.

    What they say is taken with the common slope that is best for it, and only the part of the
    change that no common slope can make counts: that all is weaker in lines that were not measured
    is for weights to learn.
    """
    said, relative, measured, number = _of_others(responses)
    power = (said**2).sum()
    if power == 0:
        return 0.0
    slope = max(0.0, (said * measured).sum() / power)
    change = slope * (relative - 1) * said
    change -= (change * said).sum() / power * said
    along = np.bincount(number, (change * (measured - slope * said)).sum(axis=1))
    length = np.bincount(number, (change**2).sum(axis=1))
    seen = np.bincount(number) > 0
    return distance(along[seen], length[seen])


def _of_others(
    responses: Responses,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean response elsewhere, r of the line, delta, all (n, G), and (n,) perturbations."""
    of, line_of = responses.perturbation_of, responses.line_of
    total = np.zeros((len(responses.perturbations), responses.delta.shape[1]))
    np.add.at(total, of, responses.delta)
    counts = np.bincount(of, minlength=len(total))
    shared = np.flatnonzero(counts[of] > 1)
    said = (total[of[shared]] - responses.delta[shared]) / (counts[of[shared]] - 1)[:, None]
    means = LineMeans.of_all(responses)
    relative = np.array([reach(1.0, line, means) for line in range(len(means.counts))])
    return said, relative[line_of[shared]], responses.delta[shared], of[shared]
