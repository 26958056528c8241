"""Simulated responses as steady states of a regulatory network: kind ``network``.

The nodes are the measured and the perturbed genes. The expression x_i of a node is produced at a
rate that its regulators j multiply, and lost at rate one:

    dx_i/dt = β_i(l) · Π_j F_ij(x_j / θ_j) − x_i
    F_ij(u) = (1 + ω_ij u²) / (1 + u²) · 2 / (1 + ω_ij)

F is the regulation function of Bintu et al. (2005) for a regulator that binds with a Hill
coefficient of 2: it saturates at both ends; ω > 1 activates up to ω-fold, ω < 1 represses.
It is one where the regulator is at its threshold θ_j, so that β is the basal expression.

**Lines** differ in β, hence in where their regulators stand on the Hill curve, and in which edges
are live: a node is open to the edges of a regulon with probability 1 − c/2, c =
``context_signal``.

**A knock-down** clamps its gene to ``RESIDUAL`` of the expression that it has in the line; a
double clamps two. The systematic shift is a stress that all perturbed cells of a line share: it
multiplies β by exp(s · STRESS · √N · û_l) for N nodes, s = ``systematic_shift``. A pair's log fold
change is the difference of the logarithms of two steady states, with and without both. A cell of
efficacy e is on the straight line between them (:mod:`ptrag.simulate.cells`).

**Texts.** Every GO process term of the perturbed genes has a regulon: signed targets. What a
perturbed gene does to a node follows the regulon of a term of its own with probability √t, t =
``text_signal``; else, in equal parts, that of a term of another gene, by a permutation that knows
no text, or a regulon that is the gene's alone. So two genes that share a term follow it together
onto a share t of the nodes, and some genes act alike at any t. Some nodes that are never perturbed
regulate as well: they pass responses on.

**One steady state.** With elasticity η = ∂ log F / ∂ log u, |η_ij| is at most
s_ij = 2 tanh(|log ω_ij| / 4). The elasticities among regulators are drawn so that the largest
eigenvalue of (s_ij) is at most :data:`FEEDBACK` < 1. The logarithm of the production is then a
contraction in a weighted maximum norm (Perron–Frobenius), so there is one steady state and
iteration reaches it from anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ptrag.genes.symbols import Symbols
from ptrag.simulate.cells import (
    RESIDUAL,
    Screen,
    add_states_and_batches,
    draw_basal,
    draw_efficacy,
)
from ptrag.simulate.directions import line_shift, sparse_unit
from ptrag.simulate.knobs import Knobs
from ptrag.simulate.panel import SECONDARY

HILL = 2  # coefficient of all regulation
DENSITY = 0.12  # share of the nodes that a regulon regulates
KEPT = 0.9  # share of its regulon that a gene has
ELASTICITY = (0.5, 1.5)  # range of an edge's largest elasticity; its bound is HILL
RELAYS = 0.1  # share of the measured genes that regulate and are never perturbed
RECURRENT = 0.2  # share of the edges between regulators that are there
FEEDBACK = 0.7  # largest eigenvalue of the elasticities among regulators
STRESS = (
    0.11  # root mean square log change of β; the network about doubles it, to that of an EFFECT
)
TOLERANCE = 1e-12  # of the logarithm of a steady state


@dataclass(frozen=True)
class Network:
    """A regulatory network with its E edges.

    Attributes
    ----------
    nodes
        N gene symbols, sorted.
    source, target
        (E,) regulator and regulated node of every edge.
    regulon
        (E,) number of the regulon that an edge belongs to.
    log_fold
        (E,) log ω.
    log_threshold
        (N,) log θ; of nodes that regulate nothing it has no meaning.
    """

    nodes: list[str]
    source: np.ndarray
    target: np.ndarray
    regulon: np.ndarray
    log_fold: np.ndarray
    log_threshold: np.ndarray

    def draw_live(self, share: float, rng: np.random.Generator) -> np.ndarray:
        """Draw (E,) which edges act in a line: a node is open to a regulon as a whole or not."""
        is_open = rng.random((self.regulon.max() + 1, len(self.nodes))) < share
        return is_open[self.regulon, self.target]

    def steady_states(
        self, log_basal: np.ndarray, live: np.ndarray, clamped: np.ndarray
    ) -> np.ndarray:
        """Return the logarithm of the steady state of every row.

        Parameters
        ----------
        log_basal
            (n, N) log β.
        live
            (E,) bool, edges that act.
        clamped
            (n, N) log expression that a node is held at, NaN where it is free.

        Returns
        -------
        log_expression
            (n, N) float64, to within :data:`TOLERANCE`.
        """
        source, log_fold = self.source[live], self.log_fold[live]
        onto = sparse.csr_matrix(
            (np.ones(len(source)), (np.arange(len(source)), self.target[live])),
            shape=(len(source), len(self.nodes)),
        )
        held = ~np.isnan(clamped)
        state = np.where(held, clamped, log_basal)
        while True:
            level = HILL * (state - self.log_threshold)[:, source]  # log u²
            following = np.where(held, clamped, log_basal + log_regulation(level, log_fold) @ onto)
            change = np.abs(following - state).max()
            state = following
            if change < TOLERANCE:
                return state


def log_regulation(level: np.ndarray, log_fold: np.ndarray) -> np.ndarray:
    """Return log F of regulators at ``level`` = log u² with log ω = ``log_fold``.

    F = (1 + ω u²) / (1 + u²) · 2 / (1 + ω): 0 at u = 1, and bounded by log 2/(1 + ω) and
    log 2ω/(1 + ω).
    """
    activity = np.logaddexp(0, log_fold + level) - np.logaddexp(0, level)
    return activity - np.logaddexp(0, log_fold) + np.log(2)


def draw_network_screen(
    symbols: Symbols,
    family: dict[str, str],
    genes: list[str],
    knobs: Knobs,
    rng: np.random.Generator,
) -> Screen:
    """Draw a network, its lines, and how every line responds to every perturbation.

    Parameters
    ----------
    symbols
        GO terms of the genes.
    family
        {perturbed gene: the GO term that its family shares}.
    genes
        G measured genes.
    knobs, rng
        Settings, and the source of all randomness.
    """
    perturbed = sorted(family)
    network, basal = draw_network(symbols, family, genes, knobs, rng)
    perturbations = sorted([*perturbed, *_draw_doubles(perturbed, knobs.n_doubles, rng)])
    measured = np.searchsorted(network.nodes, genes)
    common = sparse_unit((1, len(network.nodes)), 0.5, rng)
    unperturbed, changes = [], []
    for log_basal in basal:
        live = network.draw_live(1 - knobs.context_signal / 2, rng)
        stress = STRESS * np.sqrt(len(network.nodes)) * line_shift(common, rng)
        control, change = _line_responses(
            network, live, log_basal, knobs.systematic_shift * stress, perturbations
        )
        unperturbed.append(control[measured])
        changes.append(change[:, measured])
    return Screen(
        perturbations,
        genes,
        [" + ".join(sorted({family[g] for g in name.split("+")})) for name in perturbations],
        np.array(changes),
        draw_efficacy(len(perturbations), rng),
        add_states_and_batches(np.array(unperturbed), knobs, rng),
    )


def draw_network(
    symbols: Symbols,
    family: dict[str, str],
    genes: list[str],
    knobs: Knobs,
    rng: np.random.Generator,
) -> tuple[Network, np.ndarray]:
    """Draw the network that all lines have in common and the basal expression of each.

    Returns
    -------
    network
        Its edges and thresholds.
    log_basal
        (L, N) log β. Thresholds are at its mean over lines.
    """
    perturbed = sorted(family)
    nodes = sorted({*perturbed, *genes})
    others = [gene for gene in genes if gene not in family]
    relays = sorted(map(str, rng.choice(others, round(RELAYS * len(others)), replace=False)))
    regulators = np.searchsorted(nodes, [*perturbed, *relays])
    regulons, followed = _by_terms(symbols, family, len(nodes), knobs.text_signal, rng)
    regulons = np.concatenate([regulons, _regulons(len(relays), len(nodes), rng)])
    own = len(regulons) - len(relays) + np.arange(len(relays))
    followed = np.concatenate([followed, np.repeat(own[:, None], len(nodes), axis=1)])
    elasticity = regulons[followed, np.arange(len(nodes))]
    elasticity[: len(perturbed)] *= rng.random((len(perturbed), len(nodes))) < KEPT
    elasticity[np.arange(len(regulators)), regulators] = 0  # none regulates itself
    among = elasticity[:, regulators] * (rng.random((len(regulators),) * 2) < RECURRENT)
    radius = np.abs(np.linalg.eigvals(np.abs(among))).max()
    elasticity[:, regulators] = among * min(1.0, FEEDBACK / max(radius, FEEDBACK))
    source, target = np.nonzero(elasticity)
    log_basal = draw_basal(len(knobs.lines), len(nodes), rng)
    log_fold = 4 * np.arctanh(elasticity[source, target] / HILL)
    threshold = log_basal.mean(axis=0)
    return Network(
        nodes, regulators[source], target, followed[source, target], log_fold, threshold
    ), log_basal


def _by_terms(
    symbols: Symbols, family: dict[str, str], n_nodes: int, signal: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the regulons of terms and of genes, and which of them a perturbed gene follows.

    Returns
    -------
    regulons
        (R, N) elasticities, 0 outside of each regulon.
    followed
        (P, N) number of the regulon that a gene (in sorted order) follows onto every node.
    """
    perturbed = sorted(family)
    terms = sorted({term for gene in perturbed for term in symbols.genes[gene].process})
    number, shared = {term: i for i, term in enumerate(terms)}, set(family.values())

    def of_a_term(gene: str) -> np.ndarray:
        """(N,) one of the gene's terms, drawn anew for every node."""
        own = symbols.genes[gene].process
        weight = np.array([1.0 if term in shared else SECONDARY**2 for term in own])
        return rng.choice([number[term] for term in own], n_nodes, p=weight / weight.sum())

    by_text = np.array([of_a_term(gene) for gene in perturbed])
    by_other = np.array([of_a_term(gene) for gene in rng.permutation(perturbed)])
    alone = len(terms) + np.arange(len(perturbed))[:, None]
    draw, by_own = rng.random(by_text.shape), np.sqrt(signal)
    followed = np.where(draw < by_own, by_text, np.where(draw < (1 + by_own) / 2, by_other, alone))
    return _regulons(len(terms) + len(perturbed), n_nodes, rng), followed


def _regulons(n: int, n_nodes: int, rng: np.random.Generator) -> np.ndarray:
    """(n, N) signed elasticities, 0 outside of each regulon."""
    size = rng.uniform(*ELASTICITY, (n, n_nodes)) * rng.choice([-1.0, 1.0], (n, n_nodes))
    return size * (rng.random((n, n_nodes)) < DENSITY)


def _draw_doubles(perturbed: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """Draw n different pairs of perturbed genes, ``A+B`` in sorted order."""
    first, second = np.triu_indices(len(perturbed), 1)
    drawn = rng.choice(len(first), n, replace=False)
    return [f"{perturbed[first[i]]}+{perturbed[second[i]]}" for i in drawn]


def _line_responses(
    network: Network,
    live: np.ndarray,
    log_basal: np.ndarray,
    stress: np.ndarray,
    perturbations: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return a line's unperturbed log expression, (N,), and its log fold changes, (P, N)."""
    free = np.full((1, len(network.nodes)), np.nan)
    control = network.steady_states(log_basal[None], live, free)[0]
    clamped = np.repeat(free, len(perturbations), axis=0)
    for row, name in enumerate(perturbations):
        targets = np.searchsorted(network.nodes, name.split("+"))
        clamped[row, targets] = control[targets] + np.log(RESIDUAL)
    log_stressed = np.broadcast_to(log_basal + stress, clamped.shape)
    return control, network.steady_states(log_stressed, live, clamped) - control
