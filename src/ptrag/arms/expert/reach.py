"""How far responses reach in a line that has no entry: what the line expresses decides.

A perturbation changes a gene's counts by a factor, which log1p values show as far as the gene is
expressed: from a mean u of them, a factor 1 + φ moves it by about φ h(u),

    h(u) = 1 − e^{−u}.

So what lines l with control profiles u_l say of a gene is worth, in a line t,

    r_t = (h(u_t) + ε) / (mean_l h(u_l) + ε)

times as much. (A ratio of means: lines that hardly express the gene, and are noisy, count little.)
How much of this holds on a screen is learnt from one line after another left out. The reach is

    1 + c (r_t − 1),    0 ≤ c ≤ 1,

with c as far as perturbations confirm it (:func:`ptrag.arms.expert.stacking.distance`) that r_t
times what the other lines say comes nearer to what was measured. On a screen whose responses do not
follow expression it is 0 and responses are taken as they are.

A line with entries says by itself how far responses reach.
"""

import numpy as np

from ptrag.arms.expert.stacking import distance
from ptrag.cells.responses import Responses

LEAST = 0.1  # ε: expression below which a gene's change is hardly seen


def reach(followed: float, line: int, responses: Responses, counts: np.ndarray) -> np.ndarray:
    """(G,) 1 + c (r − 1) of a line by number, against the other lines with entries.

    Parameters
    ----------
    followed
        c.
    line, responses
        The line, and the control profiles of all.
    counts
        (L,) entries of each line that may be used.
    """
    others = counts > 0
    others[line] = False
    if followed == 0 or not others.any():
        return np.ones(len(responses.genes))
    controls = np.array([responses.control_mean[name] for name in responses.lines])
    expressed = -np.expm1(-np.maximum(controls, 0.0))  # h
    ratio = (expressed[line] + LEAST) / (expressed[others].mean(axis=0) + LEAST)
    return 1 + followed * (ratio - 1)


def fit_reach(responses: Responses) -> float:
    """Return c; 0 where no perturbation is in two lines.

    What is predicted of an entry is the mean response to its perturbation in the other lines, with
    the slope that is best for all genes and entries alike. Of the change that r makes, what another
    common slope would make, too, does not count: weights learn that.
    """
    of, line_of = responses.perturbation_of, responses.line_of
    counts = np.bincount(of)
    rows = np.flatnonzero(counts[of] > 1)
    total = np.zeros((len(counts), responses.delta.shape[1]))
    np.add.at(total, of, responses.delta)
    measured = responses.delta[rows]
    elsewhere = (total[of[rows]] - measured) / (counts[of[rows]] - 1)[:, None]
    power = (elsewhere**2).sum()
    if power == 0:
        return 0.0
    entries = np.bincount(line_of, minlength=len(responses.lines))
    ratio = np.array([reach(1.0, line, responses, entries) for line in range(len(entries))])
    predicted = max(0.0, (elsewhere * measured).sum() / power) * elsewhere
    change = (ratio[line_of[rows]] - 1) * predicted
    change -= (change * elsewhere).sum() / power * elsewhere
    number = np.unique(of[rows], return_inverse=True)[1]
    along = np.bincount(number, (change * (measured - predicted)).sum(axis=1))
    return distance(along, np.bincount(number, (change**2).sum(axis=1)))
