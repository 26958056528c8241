"""Simulated responses from gene programmes that lines switch on and off: kind ``programmes``.

A family's GO term drives a gene programme, a sparse signed set of measured genes, and the other
terms of a perturbation touch further programmes. A pair's response, in log fold change of
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
"""

from collections import Counter

import numpy as np

from ptrag.genes.symbols import Symbols
from ptrag.simulate.cells import (
    EFFECT,
    RESIDUAL,
    Screen,
    add_states_and_batches,
    draw_basal,
    draw_efficacy,
)
from ptrag.simulate.directions import line_shift, sparse_unit
from ptrag.simulate.knobs import Knobs
from ptrag.simulate.panel import SECONDARY

OWN = 0.6  # weight of a perturbation's own targets beside its programmes
DENSITY = 0.2  # share of the measured genes that a programme moves


def draw_programme_screen(
    symbols: Symbols,
    family: dict[str, str],
    genes: list[str],
    knobs: Knobs,
    rng: np.random.Generator,
) -> Screen:
    """Draw programmes and how every line responds to every perturbation.

    Parameters
    ----------
    symbols
        GO terms of the genes.
    family
        {perturbation: the GO term that its family shares}.
    genes
        G measured genes.
    knobs, rng
        Settings, and the source of all randomness.
    """
    perturbations = sorted(family)
    activity = _activities(symbols, family, rng)
    response = _responses(activity, len(genes), knobs, rng)
    strength = np.exp(0.3 * rng.standard_normal(len(perturbations)))
    log_change = EFFECT * np.sqrt(len(genes)) * strength[:, None] * response
    for gene in set(perturbations) & set(genes):
        log_change[:, perturbations.index(gene), genes.index(gene)] = np.log(RESIDUAL)
    efficacy = draw_efficacy(len(perturbations), rng)
    basal = draw_basal(len(knobs.lines), len(genes), rng)
    return Screen(
        perturbations,
        genes,
        [family[p] for p in perturbations],
        log_change,
        efficacy,
        add_states_and_batches(basal, knobs, rng),
    )


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
    own = OWN * np.sqrt(1 - t) * sparse_unit((n, n_genes), DENSITY / 2, rng)
    shared = sparse_unit((n_programmes, n_genes), DENSITY, rng)
    common = sparse_unit((1, n_genes), 0.5, rng)
    responses, shifts = [], []
    for _ in knobs.lines:
        gain = 1 - c + c * rng.choice([0.0, 2.0], (n_programmes, 1))
        loading = np.sqrt(1 - c / 2) * shared + np.sqrt(c / 2) * sparse_unit(
            shared.shape, DENSITY, rng
        )
        open_targets = rng.random(own.shape) < 1 - c / 2
        responses.append(activity @ (gain * loading) + own * open_targets)
        shifts.append(line_shift(common, rng))
    response = np.array(responses)
    # Over all lines at once: a line that shuts a programme off responds less.
    response /= np.sqrt((response**2).sum(axis=2, keepdims=True).mean(axis=0, keepdims=True))
    return np.sqrt(1 - s**2) * response + s * np.array(shifts)
