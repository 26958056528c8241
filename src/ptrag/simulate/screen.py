"""A simulated Perturb-seq screen whose noise-free responses are known.

Real gene symbols, real GO terms, made-up biology. Every perturbation belongs to
a family of genes that share one GO process term; the family's term drives a
gene programme, a sparse signed set of measured genes, and the perturbation's
other terms touch further programmes. A pair's response, in log fold change of
the expected counts, is

    δ(l, p) = EFFECT · strength_p · √G · ( √(1 − s²) · r̂(l, p) + s · û_l )

    r(l, p) = (√t · a_p + √(1 − t) · a'_p) · (γ_l ∘ L_l) + OWN · √(1 − t) · o_p ∘ k_l

with t = ``text_signal``, s = ``systematic_shift``, r̂ = r over the root mean
square of ‖r(l, p)‖ across lines, and

    a_p   programme activities by the terms of p, length one
    a'_p  the same of another perturbation, by a permutation that knows no text
    o_p   targets of p alone, length one: no text tells them
    γ_l   1 − c ± c: the line's programmes are damped or boosted, c = ``context_signal``
    L_l   programme loadings, √(1 − c/2) of them shared by lines, √(c/2) the line's own
    k_l   which own targets the line lets act, each with probability 1 − c/2
    û_l   the line's systematic shift, shared by all its perturbations, in part by lines.

A measured gene that is itself the target keeps ``RESIDUAL`` of its expression.
A cell's knockdown has efficacy e ~ Beta around the perturbation's own mean and
multiplies the expected counts by exp(e δ). Lines differ in base expression,
cells in cycling state, batches in capture; counts are drawn by
:mod:`ptrag.simulate.count_model`. The text embedding reads the same terms as a_p but
none of these numbers.

Families are drawn among genes with at most :data:`MAX_TERMS` process terms, so
that the shared term stands out in their texts: a choice in favour of the
encoder, without which ``text_signal`` could not mean what it says.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import roots_jacobi

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.base.names import CONTROL
from ptrag.genes.symbols import Symbols
from ptrag.simulate.count_model import draw_counts, expected_profile

FAMILY_SIZE = 8  # perturbations that share a programme's term; fewer in small screens
MAX_TERMS = 4  # GO process terms of a gene that may be perturbed
EFFECT = 0.25  # root mean square log fold change of a fully effective perturbation
OWN = 0.6  # weight of a perturbation's own targets beside its programmes
RESIDUAL = 0.2  # expression of the target gene that a full knockdown leaves
DENSITY = 0.2  # share of the measured genes that a programme moves
SECONDARY = 0.3  # weight of a term that is no family's
STATES = (0.65, 0.35)  # shares of resting and cycling cells
_EFFICACY_SPREAD = 6.0
_EFFICACY_NODES = 4


@dataclass(frozen=True)
class Knobs:
    """What a screen is made of: ``datasets.*.simulate`` of the configuration."""

    lines: tuple[str, ...]
    n_perturbations: int
    n_genes: int
    cells_per_pair: int
    controls_per_line: int
    batches: int
    text_signal: float
    context_signal: float
    systematic_shift: float
    gene_text: str
    seed: int

    def __post_init__(self) -> None:
        for knob in ("text_signal", "context_signal", "systematic_shift"):
            if not 0 <= (value := getattr(self, knob)) <= 1:
                raise PtragError(f"simulate.{knob}: {value} is not between 0 and 1")
        for knob in ("cells_per_pair", "controls_per_line", "batches"):
            if (value := getattr(self, knob)) < 1:
                raise PtragError(f"simulate.{knob}: {value} is not at least 1")
        if self.n_perturbations < 2 or self.n_genes < 20 or not self.lines:
            raise PtragError(
                "simulate: needs at least 1 line, 2 perturbations and 20 genes; "
                f"got {len(self.lines)}, {self.n_perturbations} and {self.n_genes}"
            )


@dataclass(frozen=True)
class Screen:
    """All that is true of a simulated screen before any cell is drawn.

    L lines, P perturbations, G genes, C states, B batches.

    Attributes
    ----------
    perturbations, genes
        Names, sorted.
    family
        (P,) the GO term that each perturbation's family shares.
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


def simulate_screen(
    knobs: Mapping[str, Any], out_h5ad: str | Path, out_truth_h5ad: str | Path
) -> None:
    """Write a simulated screen and its truth.

    Parameters
    ----------
    knobs
        The fields of :class:`Knobs`.
    out_h5ad
        Counts (CSR float32); obs perturbation, cell_line, batch.
    out_truth_h5ad
        One row per pair: obs cell_line, perturbation, family, efficacy; X the
        noise-free delta on the log1p(10⁴) scale, expected over the count model,
        states, batches and the efficacies of cells. varm ``control``: every line's
        noise-free mean of control cells.

    Both carry ``uns["simulated"] = True`` and the knobs. The same knobs give the
    same bytes.
    """
    settings = Knobs(**{**knobs, "lines": tuple(knobs["lines"])})
    screen = draw_screen(settings)
    uns = {"simulated": True, "simulation": json.dumps(asdict(settings), sort_keys=True)}
    for data, path in (
        (draw_cells(screen, settings), out_h5ad),
        (true_deltas(screen, settings), out_truth_h5ad),
    ):
        data.uns = dict(uns)
        with atomic(path) as part:
            data.write_h5ad(part)


def draw_screen(knobs: Knobs) -> Screen:
    """Draw families, programmes, lines and responses."""
    rng = np.random.default_rng([knobs.seed, 1])
    symbols = Symbols.read(knobs.gene_text)
    family = _draw_families(symbols, knobs.n_perturbations, rng)
    perturbations = sorted(family)
    genes = _draw_genes(symbols, perturbations, knobs.n_genes, rng)
    activity = _activities(symbols, family, rng)
    response = _responses(activity, len(genes), knobs, rng)
    strength = np.exp(0.3 * rng.standard_normal(len(perturbations)))
    log_change = EFFECT * np.sqrt(len(genes)) * strength[:, None] * response
    for gene in set(perturbations) & set(genes):
        log_change[:, perturbations.index(gene), genes.index(gene)] = np.log(RESIDUAL)
    return Screen(
        perturbations,
        genes,
        [family[p] for p in perturbations],
        log_change,
        rng.beta(8, 3, len(perturbations)),
        _log_base(len(genes), knobs, rng),
    )


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
        obs.append(
            {"perturbation": names[which], "cell_line": line, "batch": _batch_names(line, batch)}
        )
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
            "cell_line": [line for line, _ in pairs],
            "perturbation": [screen.perturbations[i] for _, i in pairs],
            "family": [screen.family[i] for _, i in pairs],
            "efficacy": [screen.efficacy[i] for _, i in pairs],
        }
    )
    obs.index = obs["cell_line"] + "/" + obs["perturbation"]
    obs.index.name = None
    var, varm = pd.DataFrame(index=screen.genes), {"control": controls}
    return anndata.AnnData(np.array(rows), obs=obs, var=var, varm=varm)


def _draw_families(symbols: Symbols, n: int, rng: np.random.Generator) -> dict[str, str]:
    """Draw n genes in families: {gene: the GO process term that its family shares}."""
    among = defaultdict(list)
    for gene in symbols.genes.values():
        if 1 <= len(gene.process) <= MAX_TERMS and gene.symbol.isalnum():
            for term in gene.process:
                among[term].append(gene.symbol)
    vague = ("regulation", "positive", "negative", "response", "cell", "protein", "transport")
    terms = sorted(
        term
        for term, genes in among.items()
        if 12 <= len(genes) <= 60 and not term.startswith(vague)
    )
    n_families = max(1, n // FAMILY_SIZE, min(4, n // 3))
    sizes = [len(part) for part in np.array_split(np.arange(n), n_families)]
    family: dict[str, str] = {}
    for term in rng.permutation(terms):
        free = [gene for gene in among[term] if gene not in family]
        if len(free) >= sizes[-1]:
            size = sizes.pop()
            family |= dict.fromkeys(map(str, rng.choice(free, size, replace=False)), str(term))
        if not sizes:
            return family
    raise PtragError(
        f"simulate.n_perturbations: {n} is too many, the gene texts give families for {len(family)}"
    )


def _draw_genes(
    symbols: Symbols, perturbations: list[str], n: int, rng: np.random.Generator
) -> list[str]:
    """Draw n measured genes, half of the perturbed ones among them."""
    among = [s for s, gene in symbols.genes.items() if gene.process and s not in perturbations]
    kept = rng.choice(perturbations, min(len(perturbations) // 2, n // 4), replace=False)
    if n - len(kept) > len(among):
        raise PtragError(f"simulate.n_genes: {n} is more than the {len(among)} genes with a text")
    return sorted(map(str, [*kept, *rng.choice(among, n - len(kept), replace=False)]))


def _activities(symbols: Symbols, family: dict[str, str], rng: np.random.Generator) -> np.ndarray:
    """(P, R) unit rows: programme activities of the sorted perturbations by their terms."""
    programmes = sorted(set(family.values()))
    drive = dict(zip(programmes, np.eye(len(programmes)), strict=True))
    others = Counter(t for p in family for t in symbols.genes[p].process if t not in drive)
    for term in sorted(others):
        touched = rng.standard_normal(len(programmes)) / np.sqrt(len(programmes))
        drive[term] = SECONDARY * touched
    activity = np.array([sum(drive[t] for t in symbols.genes[p].process) for p in sorted(family)])
    return activity / np.linalg.norm(activity, axis=1, keepdims=True)


def _responses(
    activity: np.ndarray, n_genes: int, knobs: Knobs, rng: np.random.Generator
) -> np.ndarray:
    """(L, P, G) directions of the responses: unit response and unit shift, mixed."""
    n, n_programmes = activity.shape
    t, c, s = knobs.text_signal, knobs.context_signal, knobs.systematic_shift
    activity = np.sqrt(t) * activity + np.sqrt(1 - t) * activity[rng.permutation(n)]
    own = OWN * np.sqrt(1 - t) * _sparse_unit((n, n_genes), DENSITY / 2, rng)
    shared = _sparse_unit((n_programmes, n_genes), DENSITY, rng)
    common = _sparse_unit((1, n_genes), 0.5, rng)
    responses, shifts = [], []
    for _ in knobs.lines:
        gain = 1 - c + c * rng.choice([0.0, 2.0], (n_programmes, 1))
        loading = np.sqrt(1 - c / 2) * shared + np.sqrt(c / 2) * _sparse_unit(
            shared.shape, DENSITY, rng
        )
        open_targets = rng.random(own.shape) < 1 - c / 2
        responses.append(activity @ (gain * loading) + own * open_targets)
        shift = np.sqrt(0.3) * common + np.sqrt(0.7) * _sparse_unit(common.shape, 0.5, rng)
        shifts.append(_unit(shift))
    response = np.array(responses)
    # Over all lines at once: a line that shuts a programme off responds less.
    response /= np.sqrt((response**2).sum(axis=2, keepdims=True).mean(axis=0, keepdims=True))
    return np.sqrt(1 - s**2) * response + s * np.array(shifts)


def _log_base(n_genes: int, knobs: Knobs, rng: np.random.Generator) -> np.ndarray:
    """(L, C, B, G) unperturbed log expression: shared, line, state and batch parts."""
    shape = (len(knobs.lines), len(STATES), knobs.batches, n_genes)
    shared = rng.normal(0, 1.2, n_genes)
    line = rng.normal(0, 0.7, (shape[0], 1, 1, n_genes))
    cycling = rng.normal(0, 1.0, n_genes) * (rng.random(n_genes) < 0.25)
    state = np.array([0.0, 1.0])[:, None, None] * cycling
    batch = rng.normal(0, 0.1, (shape[0], 1, knobs.batches, n_genes))
    return np.broadcast_to(shared + line + state + batch, shape)


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


def _sparse_unit(shape: tuple[int, int], density: float, rng: np.random.Generator) -> np.ndarray:
    """Rows of length one, signed, non-zero in about ``density`` of the places."""
    return _unit(rng.standard_normal(shape) * (rng.random(shape) < density))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length one; a row of zeros stays."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1)
