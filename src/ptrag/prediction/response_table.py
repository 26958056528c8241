"""By which factor a gene's counts must change so that its mean log1p value is the predicted one.

The mean over cells and counts of ln(1 + u k') needs no draw: with Frullani's integral
ln(1 + x) = ∫₀^∞ (1 − e^{−xt}) e^{−t} dt/t it needs the generating functions of the count model
alone (:mod:`ptrag.prediction.count_model`), at z = e^{−ut}:

    r ≤ 1:  E[z^k' | k] = (1 − r (1 − z))^k
    r > 1:  E[z^k' | k] = z^k (1 + θ (r − 1)(1 − z))^{−(a + k)}

and the integral is a sum over equal steps of ln t. It is worked out once for a line, on a grid of
factors, and inverted for each profile; cells of the same count and nearly the same unit enter
together.
"""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from ptrag.base.names import TARGET_TOTAL
from ptrag.prediction.count_model import CountModel

_CLASSES = 6  # of cells, by unit
_EXACT_COUNTS, _COARSE = 12, 1.06  # larger counts are taken together within this factor
_STEP = 0.75  # in ln t: the trapezoidal rule errs by exp(-π²/step)
_NODES = np.exp(np.arange(-21.0, 3.1, _STEP))
_WEIGHTS = _STEP * np.exp(-_NODES)
_FALLS = np.linspace(-7.0, 0.0, 22)  # ln r; below, the mean is proportional to r
_RISES = np.linspace(0.0, 1.0, 22)  # of the way to the largest ln r of a gene
_PLACES = 128  # of the inverse on either side, linear between them


class ResponseTable:
    """For each gene, the mean log1p value of a line's cells as a function of its factor.

    Parameters
    ----------
    counts, units
        (n, G) counts and (n,) units of the line's control cells.
    model
        Of these cells.

    Attributes
    ----------
    mean
        (G,) mean log1p values of the cells as they are.
    """

    def __init__(self, counts: np.ndarray, units: np.ndarray, model: CountModel) -> None:
        cells = _Grouped.of(counts, units)
        self._most = 1.0 + np.log(np.maximum(TARGET_TOTAL / model.mean, 1.0))  # all of a cell
        falls = np.array([cells.thinned(r) for r in np.exp(_FALLS)])
        rises = np.array([cells.gained(np.exp(s * self._most), model) for s in _RISES])
        at = np.linspace(0.0, 1.0, _PLACES)
        self._falls = PchipInterpolator(_FALLS, falls)(_FALLS[0] * (1 - at))  # (places, G)
        self._rises = PchipInterpolator(_RISES, rises)(at)
        self.mean = falls[-1]

    def factor(self, delta: np.ndarray) -> np.ndarray:
        """Return the factors (G,) that change the genes' means by ``delta`` (G,).

        0 where the mean falls to nothing, exactly 1 where it does not change; where no factor
        gives so high a mean, the one that makes the gene more than all of a cell.
        """
        goal = np.maximum(self.mean + delta, 0.0)
        least = self._falls[0]
        lower = np.divide(goal, least, out=np.ones_like(goal), where=goal < least)
        lower *= np.exp(_FALLS[0] * (1 - _inverse(self._falls, goal)))
        higher = np.exp(_inverse(self._rises, goal) * self._most)
        return np.where(delta < 0, lower, np.where(delta > 0, higher, 1.0))


class _Grouped(NamedTuple):
    """Cells of a line by gene, class of units and count; sorted by gene.

    Attributes
    ----------
    gene, count, unit
        (C,) of each group; ``count`` and ``unit`` are means.
    weight
        (C,) share of all cells.
    starts
        (G,) first group of each gene.
    """

    gene: np.ndarray
    count: np.ndarray
    unit: np.ndarray
    weight: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, units: np.ndarray) -> "_Grouped":
        n, genes = counts.shape
        order, logs = np.argsort(units, kind="stable"), np.log(units)
        of_cell = np.empty(n, np.int64)
        of_cell[order] = np.arange(n) * _CLASSES // n
        rows, columns = np.nonzero(counts)
        values = counts[rows, columns]
        coarse = _EXACT_COUNTS + np.log(values / _EXACT_COUNTS) / np.log(_COARSE)
        coarse = np.where(values <= _EXACT_COUNTS, values, np.ceil(coarse)).astype(np.int64)
        width = int(coarse.max(initial=0)) + 1
        code, at, number = np.unique(
            (columns * _CLASSES + of_cell[rows]) * width + coarse,
            return_inverse=True,
            return_counts=True,
        )
        log_unit = np.bincount(at, logs[rows], len(code))
        # what is left of each gene and class has no count
        cell, every = code // width, genes * _CLASSES
        zeros = np.tile(np.bincount(of_cell, minlength=_CLASSES), genes).astype(float)
        zeros -= np.bincount(cell, number, every)
        left = np.tile(np.bincount(of_cell, logs, _CLASSES), genes)
        left -= np.bincount(cell, log_unit, every)
        gene = np.concatenate([cell, np.arange(every)]) // _CLASSES
        count = np.concatenate([np.bincount(at, values, len(code)) / number, np.zeros(every)])
        number = np.concatenate([number, zeros])
        unit = np.exp(np.concatenate([log_unit, left]) / np.maximum(number, 1))
        kept = np.flatnonzero(number)
        kept = kept[np.argsort(gene[kept], kind="stable")]
        starts = np.searchsorted(gene[kept], np.arange(genes))
        return cls(gene[kept], count[kept], unit[kept], number[kept] / n, starts)

    def thinned(self, r: float) -> np.ndarray:
        """Return the (G,) mean log1p of counts that are each kept with probability r."""
        some = np.flatnonzero(self.count)
        lost = r * np.expm1(-self.unit[some, None] * _NODES)  # -r (1 - z)
        with np.errstate(divide="ignore"):  # all is kept and z vanishes: nothing is left of z^k
            exponent = self.count[some, None] * np.log1p(lost)
        value = self.weight[some] * (-np.expm1(exponent) @ _WEIGHTS)
        return np.bincount(self.gene[some], value, len(self.starts))

    def gained(self, r: np.ndarray, model: CountModel) -> np.ndarray:
        """Return the (G,) mean log1p of counts that grow by factors r ≥ 1, (G,)."""
        mean, shape, r = model.mean[self.gene], model.shape[self.gene], r[self.gene]
        gain = CountModel(mean, shape).theta(self.unit) * (r - 1)
        t = self.unit[:, None] * _NODES
        exponent = np.log1p(gain[:, None] * -np.expm1(-t))
        exponent *= (shape + self.count)[:, None]
        exponent += self.count[:, None] * t
        return np.add.reduceat(self.weight * (-np.expm1(-exponent) @ _WEIGHTS), self.starts)


def _inverse(values: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return where increasing values (places, G) reach a goal (G,), from 0 to 1."""
    last = len(values) - 1
    at = np.clip((values <= goal).sum(axis=0) - 1, 0, last - 1)
    low, high = (np.take_along_axis(values, at[None] + i, axis=0)[0] for i in (0, 1))
    rise = np.where(high > low, high - low, 1.0)
    return (at + np.clip((goal - low) / rise, 0.0, 1.0)) / last
