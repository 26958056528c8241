"""The cells of a simulated screen, whatever its responses come from, and their expectation.

A cell is in one of two states (resting, cycling) and in one batch of its line. Its knock-down has
efficacy e, drawn from a Beta law around the perturbation's own mean, and multiplies its expected
counts by exp(e δ), with δ the perturbation's log fold change at full efficacy. Counts are drawn by
:mod:`ptrag.simulate.count_model`, which also gives the truth: every pair's expected profile less
that of the controls, without any draw.
"""

from dataclasses import dataclass

import anndata
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import roots_jacobi

from ptrag.base.names import BATCH, CELL_LINE, CONTROL, PERTURBATION
from ptrag.simulate.count_model import draw_counts, expected_profile
from ptrag.simulate.knobs import Knobs

EFFECT = 0.25  # root mean square log fold change of a fully effective perturbation
RESIDUAL = 0.2  # expression of the target gene that a full knock-down leaves
STATES = (0.65, 0.35)  # shares of resting and cycling cells
_EFFICACY_SPREAD = 6.0
_EFFICACY_NODES = 4


@dataclass(frozen=True)
class Screen:
    """All that is true of a simulated screen before any cell is drawn.

    L lines, P perturbations, G genes, C states, B batches.

    Attributes
    ----------
    perturbations, genes
        Names, sorted.
    family
        (P,) the GO term that each perturbation's family shares; of a double, those of both.
    log_change
        (L, P, G) natural log fold change δ at full efficacy.
    efficacy
        (P,) mean efficacy of each perturbation.
    log_base
        (L, C, B, G) natural log of unperturbed expression up to a constant.
    """

    perturbations: list[str]
    genes: list[str]
    family: list[str]
    log_change: np.ndarray
    efficacy: np.ndarray
    log_base: np.ndarray


def draw_efficacy(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the mean efficacy of n perturbations."""
    return rng.beta(8, 3, n)


def draw_basal(n_lines: int, n_genes: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (L, G) basal log expression up to a constant: a part that lines share, and their own."""
    shared = rng.normal(0, 1.2, n_genes)
    return shared + rng.normal(0, 0.7, (n_lines, n_genes))


def add_states_and_batches(
    expression: np.ndarray, knobs: Knobs, rng: np.random.Generator
) -> np.ndarray:
    """Return (L, C, B, G) log expression: that of every line (L, G) in each state and batch."""
    n_lines, n_genes = expression.shape
    cycling = rng.normal(0, 1.0, n_genes) * (rng.random(n_genes) < 0.25)
    state = np.array([0.0, 1.0])[:, None, None] * cycling
    batch = rng.normal(0, 0.1, (n_lines, 1, knobs.batches, n_genes))
    return expression[:, None, None] + state + batch


def draw_cells(screen: Screen, knobs: Knobs) -> anndata.AnnData:
    """Draw the cells of every pair and the controls of every line."""
    rng = np.random.default_rng([knobs.seed, 2])
    counts, obs = [], []
    for at, line in enumerate(knobs.lines):
        sizes = 1 + rng.poisson(knobs.cells_per_pair - 1, len(screen.perturbations))
        # One row per cell: which perturbation, -1 for none.
        which = np.concatenate(
            [np.full(knobs.controls_per_line, -1), np.repeat(np.arange(len(sizes)), sizes)]
        )
        batch = rng.integers(knobs.batches, size=len(which))
        state = rng.choice(len(STATES), size=len(which), p=STATES)
        mean = screen.efficacy[which]
        efficacy = rng.beta(_EFFICACY_SPREAD * mean, _EFFICACY_SPREAD * (1 - mean))
        efficacy[which < 0] = 0
        change = efficacy[:, None] * screen.log_change[at, which]
        drawn = draw_counts(_fractions(screen.log_base[at, state, batch] + change), rng)
        counts.append(sparse.csr_matrix(drawn, dtype=np.float32))
        names = np.array([*screen.perturbations, CONTROL])  # -1 is the last
        obs.append({PERTURBATION: names[which], CELL_LINE: line, BATCH: _batch_names(line, batch)})
    table = pd.concat([pd.DataFrame(part) for part in obs], ignore_index=True)
    table.index = [f"cell{i}" for i in range(len(table))]
    var = pd.DataFrame(index=screen.genes)
    return anndata.AnnData(sparse.vstack(counts, format="csr"), obs=table, var=var)


def true_deltas(screen: Screen, knobs: Knobs) -> anndata.AnnData:
    """Return every pair's noise-free delta, by quadrature over the efficacies of cells."""
    share = np.array(STATES)[:, None, None] / knobs.batches  # C × B × G
    rows, controls = [], pd.DataFrame(index=screen.genes)
    for at in range(len(knobs.lines)):
        base = screen.log_base[at]
        control = (share * expected_profile(_fractions(base))).sum(axis=(0, 1))
        controls[knobs.lines[at]] = control
        for change, mean in zip(screen.log_change[at], screen.efficacy, strict=True):
            nodes, weights = _efficacy_nodes(mean)
            cells = _fractions(base + nodes[:, None, None, None] * change)  # nodes × C × B × G
            profiles = (share * expected_profile(cells)).sum(axis=(1, 2))
            rows.append(weights @ profiles - control)
    pairs = [(line, i) for line in knobs.lines for i in range(len(screen.perturbations))]
    obs = pd.DataFrame(
        {
            CELL_LINE: [line for line, _ in pairs],
            PERTURBATION: [screen.perturbations[i] for _, i in pairs],
            "family": [screen.family[i] for _, i in pairs],
            "efficacy": [screen.efficacy[i] for _, i in pairs],
        }
    )
    obs.index = obs[CELL_LINE] + "/" + obs[PERTURBATION]
    obs.index.name = None
    var, varm = pd.DataFrame(index=screen.genes), {"control": controls}
    return anndata.AnnData(np.array(rows), obs=obs, var=var, varm=varm)


def _fractions(log_expression: np.ndarray) -> np.ndarray:
    expression = np.exp(log_expression)
    return expression / expression.sum(axis=-1, keepdims=True)


def _efficacy_nodes(mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Jacobi nodes and weights of the Beta law of a cell's efficacy."""
    a, b = _EFFICACY_SPREAD * mean, _EFFICACY_SPREAD * (1 - mean)
    nodes, weights = roots_jacobi(_EFFICACY_NODES, b - 1, a - 1)
    return (1 + nodes) / 2, weights / weights.sum()


def _batch_names(line: str, batch: np.ndarray) -> list[str]:
    return [f"{line}_batch{b + 1}" for b in batch]
