"""The metrics of the 2026 challenge: by hand, by counting, and against the contest's tricks."""

import numpy as np
import pytest
from challenge_cases import made_screen, predictions

from ptrag.metrics import calls
from ptrag.metrics.calls import (
    Calls,
    Pool,
    direction_reach,
    direction_yield,
    fold_error,
    per_million,
    sig_jaccard,
)
from ptrag.metrics.pseudobulk import Panel, Pseudobulk, errors, mean_distance
from ptrag.metrics.vcc2026 import MEMBERS, Context, Measured, mean_response, replicate, score

TRICKS = ("control pasted", "mean profile", "targets spiked", "spiky silence", "all genes called")


@pytest.fixture(scope="module")
def screen():
    moved = np.random.default_rng(3).integers(12, 60, 24)
    return made_screen(n_cells=80, n_controls=300, genes=200, moved=moved)


@pytest.fixture(scope="module")
def real(screen):
    groups = [*screen.cells.values()]
    return Measured.of(screen.controls, groups.__getitem__, len(groups))


@pytest.fixture(scope="module")
def context(screen, real):
    return Context(real.observed, screen.targets, screen.genes)


@pytest.fixture(scope="module")
def scored(screen, real, context):
    """Means of the members, of every prediction, of the mean baseline and of the replicate."""

    def means(values):
        return {name: float(np.nanmean(of)) for name, of in values.items()}

    def submitted(cells):
        groups = [*cells.values()]
        measured = Measured.against(real.control, real.pool, groups.__getitem__, len(groups))
        return means(context.score(measured))

    rng, groups = np.random.default_rng(0), [*screen.cells.values()]
    average = np.array([cells.mean(axis=0) for cells in groups], float)
    factor = mean_response(average, screen.controls.mean(axis=0, dtype=float), screen.targets)
    base = {
        name: screen.controls[rng.integers(0, 300, len(cells))] * factor
        for name, cells in screen.cells.items()
    }
    parts = [np.array_split(rng.permutation(300), 2)] + [
        np.array_split(rng.permutation(len(cells)), 2) for cells in groups
    ]
    one, other = (
        Measured.of(
            screen.controls[parts[0][side]],
            lambda i, side=side: groups[i][parts[i + 1][side]],
            len(groups),
            context.real.genes,
        )
        for side in (0, 1)
    )
    every = {name: submitted(cells) for name, cells in predictions(screen).items()}
    ends = {"baseline": submitted(base), "replicate": means(replicate(context, one, other))}
    return every | ends


def test_the_jackknife_is_leaving_out_each_cell_by_itself():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 3, 12), (9, 12)).astype(float)
    levels = [
        np.log1p(5e4 * rest.sum(axis=0) / rest.sum())
        for rest in (np.delete(counts, i, axis=0) for i in range(9))
    ]
    expected = 8 / 9 * ((levels - np.mean(levels, axis=0)) ** 2).sum()
    found = Pseudobulk.of(counts)
    np.testing.assert_allclose(found.noise, expected, rtol=1e-10)
    np.testing.assert_allclose(found.level, np.log1p(5e4 * counts.sum(axis=0) / counts.sum()))


def test_groups_without_an_error_or_without_counts():
    assert Pseudobulk.of(np.array([[3.0, 1.0]])).noise == 0
    assert not Pseudobulk.of(np.zeros((4, 3))).level.any()
    alone = Pseudobulk.of(np.array([[3.0, 1.0], [0.0, 0.0]]))
    v = np.array([alone.level, np.zeros(2)])  # without the first cell nothing is left
    np.testing.assert_allclose(alone.noise, 0.5 * ((v - v.mean(axis=0)) ** 2).sum())


def test_the_expression_error_is_unbiased():
    """Two samples of one distribution are at distance 0 on average, and of two at their own."""
    rng, genes, n = np.random.default_rng(1), 300, 60
    base = rng.gamma(2, 4, genes)
    other = base * np.exp(rng.normal(0, 0.3, genes))
    profile = [np.log1p(5e4 * m / m.sum()) for m in (base, other)]
    targets = np.zeros((40, genes), bool)
    real, same, moved = (
        Panel.of([Pseudobulk.of(rng.poisson(m, (n, genes)).astype(float)) for _ in range(40)])
        for m in (base, base, other)
    )
    truth = ((profile[1] - profile[0]) ** 2).mean()
    noise = (real.noise / genes).mean()
    spread = np.array([errors(p, real, targets).mean() for p in (same, moved)])
    np.testing.assert_allclose(spread, [0, truth], atol=0.3 * noise)
    controls = [Pseudobulk.of(rng.poisson(other, (n, genes)).astype(float)) for _ in range(40)]
    found = np.mean([mean_distance(real, control, targets) for control in controls])
    assert found == pytest.approx(truth, abs=0.3 * noise)


def test_cells_that_vary_for_show_win_nothing():
    """Identical predicted profiles have no spread: nothing is subtracted for their noise."""
    rng = np.random.default_rng(2)
    real = Panel(rng.normal(5, 1, (6, 50)), np.full(6, 3.0))
    shown = Panel(np.tile(rng.normal(5, 1, 50), (6, 1)), np.full(6, 1e3))
    targets = np.zeros((6, 50), bool)
    expected = ((shown.level - real.level) ** 2).mean(axis=1) - 3.0 / 50
    np.testing.assert_allclose(errors(shown, real, targets), expected)


def guessed(fold, q):
    q = np.array(q, float)
    return calls.Tested(np.array(fold, float), q / 10, q)


def test_calls_by_hand():
    real = Calls(np.array([1.0, -1, 2, -2, 0]), np.array([True, True, True, False, False]))
    guess = guessed([2, 1, 3, -1, 5], [0.01, 0.02, 0.5, 0.03, 0.04])
    # called: 0 right, 1 wrong, 3 right; 4 has no real direction
    assert direction_yield(guess, real) == 2 / 3
    assert sig_jaccard(guess, real) == 2 / 5
    # order of the real calls: 0 (right), 1 (wrong), 2 (right)
    assert direction_reach(guess, real, np.arange(5)) == 1 / 3
    late = guessed([2, -1, -3, -1, 5], [0.01, 0.02, 0.5, 0.03, 0.04])
    assert direction_reach(late, real, np.arange(5)) == 2 / 3
    silent = guessed([1, 1, 1, 1, 1], [1, 1, 1, 1, 1])
    assert direction_yield(silent, real) == 0 and sig_jaccard(silent, real) == 0
    nothing = Calls(real.fold, np.zeros(5, bool))
    assert np.isnan(direction_reach(guess, nothing, np.arange(5)))
    assert np.isnan(direction_yield(silent, nothing)) and sig_jaccard(silent, nothing) == 1


def test_fold_errors_by_hand():
    real, called = np.arange(1.0, 13), np.ones(12, bool)
    assert fold_error(np.zeros(12), real, called) == 1
    assert fold_error(real, real, called) == 0
    assert fold_error(2 * real, real, called) == 1
    assert fold_error(np.where(real > 6, np.nan, real), real, called) == real[6:].sum() / real.sum()
    assert fold_error(real, np.zeros(12), called, real) == 1
    assert np.isnan(fold_error(real, real, real < 10))  # nine calls


def test_the_gate_looks_at_controls_alone():
    controls = np.zeros((10, 3))
    controls[:, 0] = 1e6
    controls[0, 1], controls[:, 2] = 40, 6  # 4 per million on average, and 6
    assert Pool.of(controls).genes.tolist() == [True, False, True]
    assert per_million(np.array([[1.0, 3.0], [0.0, 0.0]])).T.tolist() == [[25e4, 75e4], [0, 0]]


def test_a_perfect_submission(scored):
    truth = scored["truth"]
    assert truth["vcc_pds_cosine"] == truth["vcc_sig_jaccard"] == truth["vcc_direction_yield"] == 1
    assert truth["vcc_fold_error"] == 0 and truth["vcc_expression_error"] < 0.05


def test_the_ends_of_the_scale(scored):
    for end, value in (("baseline", 0.0), ("replicate", 1.0)):
        total, places = score(scored[end], scored["baseline"], scored["replicate"])
        assert total == pytest.approx(value)
        assert list(places.values()) == pytest.approx([value] * 6)


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_of_the_contest_looks_good(scored, trick):
    total, _ = score(scored[trick], scored["baseline"], scored["replicate"])
    half, _ = score(scored["half"], scored["baseline"], scored["replicate"])
    assert total < 0.1 < 0.5 < half


def test_twice_the_response_pays_for_its_size(scored):
    _, places = score(scored["scaled x2"], scored["baseline"], scored["replicate"])
    assert places["vcc_expression_error"] == 0 and places["vcc_fold_error"] < 0.1


def test_a_member_that_cannot_tell_has_no_score(scored):
    total, places = score(scored["half"], scored["replicate"], scored["replicate"])
    assert np.isnan(total) and all(np.isnan(place) for place in places.values())


def test_part_of_a_panel_is_scored_among_all(screen, real, context):
    rows = np.array([5, 2])
    groups = [[*screen.cells.values()][row] for row in rows]
    measured = Measured.against(real.control, real.pool, groups.__getitem__, 2)
    values = context.score(measured, rows)
    assert all(values[name].shape == (2,) for name in MEMBERS)
    assert values["vcc_pds_cosine"].tolist() == [1, 1]
    assert values["vcc_sig_jaccard"].tolist() == [1, 1]
