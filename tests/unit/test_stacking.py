"""The weights and slopes of the expert's members, against closed forms and planted truth."""

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest
from scipy.optimize import minimize

from ptrag.arms.expert.fitting import fit_expert
from ptrag.arms.expert.stacking import LeftOut, distance, fit_stack, random_slopes
from ptrag.genes.providers import derive_control


def left_out(slopes=1.0, n=60, n_genes=40, seed=0, noise=0.3):
    """Two members that each know a part of what is missing, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    one, two, idle = rng.normal(size=(3, n, n_genes)) * rng.uniform(0.2, 2, n)[:, None]
    missing = slopes * (0.7 * one + 0.2 * two) + noise * rng.normal(size=one.shape)
    return LeftOut({"one": one, "two": two, "idle": idle}, missing, np.arange(n) + 5)


def test_weights_are_least_squares_where_they_are_certain():
    left = left_out(n=400)
    stack = fit_stack(left, [["one"], ["two", "idle"]])
    names = list(left.beyond)

    def error(w):
        return ((left.missing - left.mix(dict(zip(names, w, strict=True)))) ** 2).sum()

    best = minimize(error, [0.5, 0.5, 0.1], bounds=[(0, None)] * 3).x
    for name, weight in zip(names, best, strict=True):
        assert stack.weights.get(name, 0.0) == pytest.approx(weight, abs=0.02)


def test_members_that_know_nothing_get_next_to_nothing():
    weights = []
    for seed in range(40):
        left = left_out(seed=seed)
        idle = LeftOut({"idle": left.beyond["idle"]}, left.missing, left.perturbation)
        weights.append(fit_stack(idle, [["idle"]]).weights.get("idle", 0.0))
    assert np.mean(np.array(weights) == 0) > 0.9
    assert np.max(weights) < 0.1


def test_a_step_goes_as_far_as_it_is_confirmed():
    assert distance(np.array([2.0, 2.0, 2.0]), np.array([4.0, 4.0, 4.0])) == 0.5
    assert distance(np.array([-1.0, -2.0]), np.ones(2)) == 0.0
    assert distance(np.array([5.0]), np.ones(1)) == 0.0
    # z² = 36 / (2 · 3 · 1) = 6: four ninths of what least squares says are not trusted
    part = distance(np.array([1.0, 2.0, 3.0]), np.full(3, 6.0))
    assert part == pytest.approx(1 / 3 * (1 - (4 / 6) ** 2))
    assert distance(np.array([0.0, 1.0, 2.0]), np.full(3, 2.0)) == 0.0  # z² = 1.5


@pytest.mark.filterwarnings("error")
def test_a_step_too_short_to_have_a_length_is_not_taken():
    tiny = np.full(3, 1e-170)  # a change of the prediction: its square is 0 in floating point
    assert distance(tiny * np.array([1.0, 1.1, 0.9]), tiny**2) == 0.0


def test_rounding_is_not_taken_for_knowledge():
    left = left_out()
    rounding = 1e-16 * np.random.default_rng(1).normal(size=left.missing.shape)
    members = {"one": left.beyond["one"], "rounding": rounding}
    stack = fit_stack(LeftOut(members, left.missing, left.perturbation), [["rounding"], ["one"]])
    assert set(stack.weights) == {"one"}


def test_slopes_find_planted_ones_and_stay_one_without():
    planted = np.random.default_rng(3).uniform(0.2, 1.8, 40)
    left = left_out(planted, n=300)
    stack = fit_stack(left, [["one", "two"]])
    assert np.abs(stack.slopes - planted / planted.mean()).max() < 0.08
    equal = fit_stack(left_out(1.0), [["one", "two"]])
    assert np.abs(equal.slopes - 1).max() < 0.05


def test_a_slope_is_shrunk_by_its_own_error():
    """Two genes of equal raw slope: the one that is measured worse stays nearer to one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30))
    noise = np.where(np.arange(30) % 2, 3.0, 0.1)
    y = 2 * x + noise * rng.normal(size=x.shape)
    slopes = random_slopes(x, y, np.arange(200))
    raw = (x * y).sum(axis=0) / (x**2).sum(axis=0)
    pull = (raw - slopes) / (raw - 1)  # share of the way back to one
    assert pull[1::2].min() > 5 * pull[::2].max()
    assert pull[::2].max() < 0.01


def test_one_perturbation_alone_is_left_to_the_mean():
    left = left_out(n=4)
    alone = LeftOut(left.beyond, left.missing, np.zeros(4, int))
    stack = fit_stack(alone, [["one", "two", "idle"]])
    assert stack.weights == {}
    np.testing.assert_array_equal(stack.slopes, 1.0)


def test_what_is_known_beforehand_holds_until_more_is_confirmed():
    """Few perturbations change nothing of it; many lead to the weights found without it."""
    few = left_out(n=3)
    before = {"two": 1.0}
    assert fit_stack(few, [["one", "two", "idle"]], before).weights == pytest.approx(before)
    many = left_out(n=400)
    without = fit_stack(many, [["one", "two", "idle"]]).weights
    given = fit_stack(many, [["one", "two", "idle"]], before).weights
    assert given.keys() == without.keys()
    for member, weight in without.items():
        assert given[member] == pytest.approx(weight, abs=0.02)
    alone = LeftOut(few.beyond, few.missing, np.zeros(3, int))
    assert fit_stack(alone, [["one", "two", "idle"]], before).weights == before


def test_texts_that_do_not_help_change_next_to_nothing():
    """Where other lines were measured, an embedding that says nothing hardly counts."""
    change = []
    for seed in range(6):
        known = draw_responses(seed, n_perturbations=24, n_genes=30, missing=0.2, target="b")
        experts = []
        for shuffle in (seed, seed + 100):
            embedding = derive_control(draw_embedding(24, seed=1), "shuffled", shuffle)
            neighbours = nearest(embedding, known.perturbations)
            experts.append(fit_expert(known, embedding, neighbours, {"topk_rag": 4}))
        predicted = [np.array([its("b", n).delta for n in known.perturbations]) for its in experts]
        mean = known.delta[known.rows("b")].mean(axis=0)
        apart, said = predicted[0] - predicted[1], predicted[0] - mean
        change.append((apart**2).sum() / (said**2).sum())
    assert np.mean(change) < 0.02
