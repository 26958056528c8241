"""The regulatory network of the simulated screen, against its differential equation."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ptrag.genes.symbols import Symbols
from ptrag.simulate.cells import RESIDUAL, true_deltas
from ptrag.simulate.knobs import Knobs
from ptrag.simulate.network import FEEDBACK, Network, draw_network, log_regulation
from ptrag.simulate.panel import draw_families, draw_genes
from ptrag.simulate.screen import draw_screen


@pytest.fixture(scope="module")
def make(request):
    """Make knobs of a small network screen, with changes."""
    table = str(request.config.rootpath / "resources/gene_text.tsv.gz")

    def knobs(**more):
        defaults = {
            "kind": "network", "lines": ("k562", "rpe1", "hepg2"), "n_perturbations": 40,
            "n_genes": 120, "cells_per_pair": 20, "controls_per_line": 40, "batches": 1,
            "text_signal": 0.8, "context_signal": 0.5, "systematic_shift": 0.5,
            "gene_text": table, "seed": 1,
        }  # fmt: skip
        return Knobs(**(defaults | more))

    return knobs


def drawn(knobs):
    """The network of a screen, the basal expression of its lines, and its perturbed genes."""
    rng = np.random.default_rng(7)
    symbols = Symbols.read(knobs.gene_text)
    family = draw_families(symbols, knobs.n_perturbations, rng)
    genes = draw_genes(symbols, sorted(family), knobs.n_genes, rng)
    network, basal = draw_network(symbols, family, genes, knobs, rng)
    return network, basal, sorted(family), family


def production(x, network, basal, live):
    """β_i Π_j F_ij(x_j / θ_j), edge by edge."""
    rate = np.exp(basal)
    threshold = np.exp(network.log_threshold)
    edges = zip(network.source, network.target, network.log_fold, live, strict=True)
    for j, i, log_fold, acts in edges:
        if acts:
            square, fold = (x[j] / threshold[j]) ** 2, np.exp(log_fold)
            rate[i] *= (1 + fold * square) / (1 + square) * 2 / (1 + fold)
    return rate


def integrated(network, basal, live, clamped, start):
    """The state that dx/dt = production − x comes to, clamped nodes held."""
    held = ~np.isnan(clamped)

    def change(_, x):
        return np.where(held, 0.0, production(x, network, basal, live) - x)

    start = np.where(held, np.exp(clamped), start)
    return solve_ivp(change, (0, 80), start, method="LSODA", rtol=1e-10, atol=1e-12).y[:, -1]


# --- steady states -----------------------------------------------------------------------


def test_steady_states_are_where_the_differential_equation_comes_to_from_anywhere(make):
    network, basal, perturbed, _ = drawn(make(n_perturbations=12, n_genes=40))
    rng = np.random.default_rng(0)
    live = network.draw_live(0.75, rng)
    clamped = np.full((3, len(network.nodes)), np.nan)
    clamped[1, network.nodes.index(perturbed[0])] = -2.0
    clamped[2, [network.nodes.index(name) for name in perturbed[3:5]]] = -1.0, 1.0
    states = network.steady_states(np.tile(basal[0], (3, 1)), live, clamped)
    for row, state in zip(clamped, states, strict=True):
        start = np.exp(rng.normal(0, 2, len(network.nodes)))
        np.testing.assert_allclose(
            np.exp(state), integrated(network, basal[0], live, row, start), rtol=1e-6
        )


def test_a_regulator_at_its_threshold_changes_nothing_and_folds_bound_what_it_can():
    fold = np.array([8.0, 0.25])
    np.testing.assert_allclose(log_regulation(np.zeros(2), np.log(fold)), 0, atol=1e-14)
    least, most = (log_regulation(np.full(2, level), np.log(fold)) for level in (-80.0, 80.0))
    np.testing.assert_allclose(np.exp(most - least), fold, rtol=1e-12)


def test_elasticities_are_bounded_so_that_there_is_one_steady_state(make):
    network, *_ = drawn(make())
    bound = np.zeros((len(network.nodes),) * 2)
    levels = np.linspace(-12, 12, 4001)
    for j, i, log_fold in zip(network.source, network.target, network.log_fold, strict=True):
        response = log_regulation(levels, log_fold)
        # log u² = 2 log u: the elasticity is twice the slope
        bound[j, i] = 2 * np.abs(np.gradient(response, levels)).max()
    regulators = np.unique(network.source)
    radius = np.abs(np.linalg.eigvals(bound[np.ix_(regulators, regulators)])).max()
    assert 0.9 * FEEDBACK < radius < FEEDBACK + 1e-3
    assert not (network.source == network.target).any()


# --- knock-downs -------------------------------------------------------------------------


def chain(log_folds):
    """A regulates B, B regulates C; thresholds at one."""
    return Network(
        ["A", "B", "C"], np.array([0, 1]), np.array([1, 2]), np.array([0, 0]),
        np.log(log_folds), np.zeros(3),
    )  # fmt: skip


def knocked(network, left):
    """Log fold change where A keeps ``left`` of its expression; everything starts at one."""
    live, basal = np.ones(2, bool), np.zeros((1, 3))
    clamped = np.array([[np.log(left), np.nan, np.nan]])
    return network.steady_states(basal, live, clamped)[0]


@pytest.mark.parametrize(("first", "second"), [(6.0, 6.0), (6.0, 1 / 6), (1 / 6, 6.0)])
def test_the_sign_of_a_response_is_that_of_its_path(first, second):
    change = knocked(chain([first, second]), RESIDUAL)
    assert change[0] == np.log(RESIDUAL)
    assert np.sign(change[1]) == -np.sign(np.log(first))
    assert np.sign(change[2]) == -np.sign(np.log(first) * np.log(second))
    # in closed form: what A leaves of B's production, then what B leaves of C's
    square = RESIDUAL**2
    left = (1 + first * square) / (1 + square) * 2 / (1 + first)
    assert change[1] == pytest.approx(np.log(left), rel=1e-12)
    assert change[2] == pytest.approx(
        np.log((1 + second * left**2) / (1 + left**2) * 2 / (1 + second)), rel=1e-12
    )


def test_responses_saturate():
    network = chain([6.0, 6.0])
    change = np.array([knocked(network, left)[1] for left in (0.5, 0.25, 0.125, 0.0625, 1e-6)])
    steps = np.diff(change)
    assert (steps < 0).all()
    assert (np.abs(steps[1:3]) < np.abs(steps[:2])).all()
    assert change[-1] == pytest.approx(np.log(2 / 7), rel=1e-9)


def test_a_knock_down_moves_the_direct_targets_of_a_screen_by_the_sign_of_the_edge(make):
    knobs = make(systematic_shift=0.0, context_signal=0.0)
    network, basal, perturbed, _ = drawn(knobs)
    live = np.ones(len(network.source), bool)
    free = np.full((1, len(network.nodes)), np.nan)
    state = network.steady_states(basal[:1], live, free)[0]
    agree = []
    for name in perturbed:
        node = network.nodes.index(name)
        clamped = free.copy()
        clamped[0, node] = state[node] + np.log(RESIDUAL)
        change = network.steady_states(basal[:1], live, clamped)[0] - state
        for edge in np.flatnonzero(network.source == node):
            agree.append(change[network.target[edge]] * network.log_fold[edge] < 0)
    assert len(agree) > 200
    assert np.mean(agree) > 0.9


def test_measured_targets_keep_the_residual_and_doubles_clamp_two(make):
    screen = draw_screen(make(n_doubles=30))
    singles = [name for name in screen.perturbations if "+" not in name]
    doubles = [name for name in screen.perturbations if "+" in name]
    assert (len(singles), len(doubles)) == (40, 30)
    assert screen.perturbations == sorted(set(screen.perturbations))
    of = {name: screen.log_change[:, i] for i, name in enumerate(screen.perturbations)}
    for name in screen.perturbations:
        genes = name.split("+")
        assert genes == sorted(genes)
        for gene in set(genes) & set(screen.genes):
            np.testing.assert_allclose(
                of[name][:, screen.genes.index(gene)], np.log(RESIDUAL), atol=1e-9
            )
    # Without a shift a double is near the sum of its singles, but not the sum: it saturates.
    screen = draw_screen(make(n_doubles=30, systematic_shift=0.0))
    of = {name: screen.log_change[:, i] for i, name in enumerate(screen.perturbations)}
    sums = np.array([of[d.split("+")[0]] + of[d.split("+")[1]] for d in doubles])
    real = np.array([of[d] for d in doubles])
    assert np.corrcoef(sums.ravel(), real.ravel())[0, 1] > 0.9
    assert np.abs(sums - real).max() > 0.2


# --- the knobs ---------------------------------------------------------------------------


def without_targets(screen):
    """Log fold changes with the perturbed genes left out."""
    return screen.log_change[:, :, ~np.isin(screen.genes, screen.perturbations)]


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.einsum("...pg,...qg->...pq", unit, unit)


def test_genes_that_share_a_term_share_targets_as_far_as_the_text_tells(make):
    def shared(signal):
        """Mean share of a gene's edges that another gene of its family has, with its sign."""
        network, _, perturbed, family = drawn(make(n_perturbations=60, text_signal=signal))
        sign = np.zeros((len(network.nodes),) * 2)
        sign[network.source, network.target] = np.sign(network.log_fold)
        rows = sign[np.searchsorted(network.nodes, perturbed)]
        alike = (rows[:, None] * rows[None] > 0).sum(2) / np.maximum((rows != 0).sum(1), 1)[:, None]
        term = np.array([family[name] for name in perturbed])
        kin = (term[:, None] == term) & ~np.eye(len(term)).astype(bool)
        strangers = term[:, None] != term
        return alike[kin].mean() - alike[strangers].mean()

    nothing, some, much = (shared(signal) for signal in (0.0, 0.5, 1.0))
    assert abs(nothing) < 0.03
    assert nothing + 0.1 < some < much - 0.1


def test_lines_differ_as_far_as_the_context_says(make):
    def agreement(context):
        change = without_targets(draw_screen(make(context_signal=context, systematic_shift=0.0)))
        first, second = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in change[:2])
        return (first * second).sum(axis=1).mean()

    low, middle, high = (agreement(context) for context in (0.0, 0.5, 1.0))
    assert low > middle + 0.1 > high + 0.2
    assert low > 0.75  # what is left is where each line's regulators stand


def test_the_shift_is_shared_within_a_line_and_differs_between_lines(make):
    def shared(shift):
        change = without_targets(draw_screen(make(systematic_shift=shift, text_signal=0.0)))
        within = cosines(change)[:, *np.triu_indices(40, 1)].mean()
        mean = change.mean(axis=1)
        return within, cosines(mean[None])[0][np.triu_indices(3, 1)].mean()

    (none, _), (half, between), (full, _) = (shared(shift) for shift in (0.0, 0.5, 1.0))
    assert none < 0.1
    assert none + 0.1 < half < full
    assert between < 0.8


def test_sizes_are_those_of_the_other_kind(make):
    sizes = {}
    for kind in ("programmes", "network"):
        knobs = make(kind=kind, n_perturbations=80, n_genes=300)
        screen = draw_screen(knobs)
        sizes[kind] = np.array(
            [
                np.sqrt((without_targets(screen) ** 2).mean()),
                np.sqrt((true_deltas(screen, knobs).X ** 2).mean()),
            ]
        )
    ratio = sizes["network"] / sizes["programmes"]
    assert (ratio > 0.7).all()
    assert (ratio < 1.4).all()
