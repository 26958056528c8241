"""Screens of counts, and predictions of them that are good, bad or tricks, for tests of vcc2026."""

from typing import NamedTuple

import numpy as np

MOVED = (0, 0, 3, 6, 12, 18, 24, 30, 36, 40, 44, 48)
"""How many genes each perturbation of the made screen moves; of the first two none."""


class Screen(NamedTuple):
    """Counts of one context: perturbation i targets gene i."""

    genes: np.ndarray
    controls: np.ndarray
    cells: dict[str, np.ndarray]

    @property
    def targets(self):
        """(P, G) bool."""
        return np.array([self.genes == name for name in self.cells])


def made_screen(n_cells=60, n_controls=150, genes=80, moved=MOVED, seed=0):
    """Poisson counts of cells of very different depth; one silent gene, many ties, some rare."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.6, 6.0, genes) + 0.05
    base[-1] = 0
    names = np.array([f"GX{i}" for i in range(genes)])

    def cells(factor, n):
        depth = rng.choice([0.5, 1.0, 1.5], n)[:, None]
        return rng.poisson(base * factor * depth).astype(np.float32)

    groups = {}
    for i, size in enumerate(moved):
        factor = np.ones(genes)
        which = rng.permutation(np.arange(len(moved), genes - 1))[:size]
        factor[which] = np.exp(rng.choice([-1, 1], len(which)) * rng.uniform(0.3, 1.2, len(which)))
        factor[i] = 0.2
        groups[names[i]] = cells(factor, n_cells)
    return Screen(names, cells(np.ones(genes), n_controls), groups)


def scaled_controls(screen, factors, rng, n=None):
    """Controls drawn again for each perturbation, each gene times its factor, in whole counts."""
    predicted = {}
    for name, cells in screen.cells.items():
        rows = rng.integers(0, len(screen.controls), n or len(cells))
        x, factor = screen.controls[rows], factors[name]
        kept = rng.binomial(x.astype(int), np.minimum(factor, 1.0))
        gained = rng.poisson(x * np.maximum(factor - 1, 0.0))
        predicted[name] = (kept + gained).astype(np.float32)
    return predicted


def fold(screen, name, power=1.0):
    """Ratio of mean counts of a perturbation to those of controls, to a power."""
    mean, base = screen.cells[name].mean(axis=0), screen.controls.mean(axis=0)
    return ((mean + 0.02) / (base + 0.02)) ** power


def predictions(screen, seed=1):
    """Return named predictions: half the response, the truth, and the tricks of the contest."""
    rng = np.random.default_rng(seed)
    names = list(screen.cells)
    ones = np.ones(len(screen.genes))
    mean = np.exp(np.mean([np.log(fold(screen, name)) for name in names], axis=0))
    targets = {
        name: np.where(own, 0.1, 1.0) for name, own in zip(names, screen.targets, strict=True)
    }
    everything = np.exp(np.where(rng.random(len(ones)) < 0.5, -1.0, 1.0))
    spikes = {name: screen.controls[rng.integers(0, len(screen.controls), 60)] for name in names}
    for cells in spikes.values():  # one cell holds nearly all counts: no test calls a gene
        cells[0] = cells[0] * 200 + rng.poisson(50, len(ones)) * 200
    same = {name: ones for name in names}
    return {
        "half": scaled_controls(screen, {n: fold(screen, n, 0.5) for n in names}, rng),
        "truth": dict(screen.cells),
        "control pasted": scaled_controls(screen, same, rng),
        "mean profile": scaled_controls(screen, {n: mean for n in names}, rng),
        "targets spiked": scaled_controls(screen, targets, rng),
        "spiky silence": spikes,
        "all genes called": scaled_controls(screen, {n: everything for n in names}, rng, n=200),
        "scaled x2": scaled_controls(screen, {n: fold(screen, n, 2.0) for n in names}, rng),
        "same cell": {
            name: np.tile(np.round(cells.mean(axis=0) + 1), (40, 1))
            for name, cells in screen.cells.items()
        },
    }  # fmt: skip
