"""Local false-sign rates against planted truth, dense and sparse."""

import numpy as np
import pytest

from ptrag.arms.expert import signs as fitting
from ptrag.arms.expert.signs import Signs


def draw(seed, sparse, n=300, n_genes=200):
    """Truth, predictions of it with their deviations, and noisy measurements."""
    rng = np.random.default_rng(seed)
    moving = rng.random((n, n_genes)) < (0.1 if sparse else 1.0)
    truth = np.where(moving, rng.normal(size=moving.shape), 0.0)
    predicted = truth * rng.random(truth.shape) + 0.3 * rng.normal(size=truth.shape)
    sd = np.full(truth.shape, np.std(truth - predicted))
    error = rng.uniform(0.2, 0.5, truth.shape)
    measured = truth + error * rng.normal(size=truth.shape)
    return truth, predicted, sd, measured, error


@pytest.mark.parametrize("sparse", [False, True])
def test_realised_rates_are_at_most_the_nominal_ones(sparse):
    truth, predicted, sd, measured, error = draw(0, sparse)
    signs = Signs.fitted(predicted, sd, measured, error, [np.arange(len(truth))])
    truth, predicted, sd, *_ = draw(1, sparse)
    rate = signs.rate(predicted, sd)
    wrong = np.sign(truth) != np.sign(predicted)
    for nominal in (0.05, 0.1, 0.3, 0.6):
        sure = rate <= nominal
        if sure.any():
            assert wrong[sure].mean() <= nominal
    assert (rate <= 0.3).mean() > (0.001 if sparse else 0.3)  # it does say something
    if not sparse:
        assert wrong.mean() == pytest.approx(rate.mean(), abs=0.05)


def test_a_normal_distribution_would_be_wrong_where_responses_are_sparse():
    """What the mixture is for: genes that stand still, far out in the predictions' tails."""
    truth, predicted, sd, *_ = draw(2, sparse=True)
    wrong = np.sign(truth) != np.sign(predicted)
    assert wrong[np.abs(predicted) / sd > 1.2816].mean() > 0.2  # Φ(−1.2816) = .1


def test_rates_fall_with_confidence():
    _, *facts = draw(3, sparse=False)
    signs = Signs.fitted(*facts, [np.arange(len(facts[0]))])
    assert (np.diff(signs.wrong) <= 0).all()
    assert (np.diff(signs.confidence) >= 0).all()
    rate = signs.rate(np.linspace(0, 10, 50), np.ones(50))
    assert (np.diff(rate) <= 0).all()


def test_exact_measurements_are_counted(monkeypatch):
    monkeypatch.setattr(fitting, "SURE", 0.5)
    rng = np.random.default_rng(4)
    predicted = rng.normal(size=(100, 50))
    truth = predicted + rng.normal(size=predicted.shape)
    one = np.ones_like(predicted)
    signs = Signs.fitted(predicted, one, truth, 0 * one, [np.arange(100)])
    near = np.abs(predicted) < 0.05
    expected = (np.sign(truth) != np.sign(predicted))[near].mean()
    assert signs.rate(np.array([0.02]), np.ones(1))[0] == pytest.approx(expected, abs=0.05)


def test_genes_that_are_wrong_in_every_pair_are_counted_as_one():
    """Few genes with a wrong level: new genes are wrong as often, or less, as is stated."""
    kept = []
    for seed in range(30):
        halves = []
        for half in range(2):
            rng = np.random.default_rng([seed, half])
            side = np.where(rng.random(60) < 0.05, -1.0, 1.0)  # of a gene, in all its pairs
            truth = side * np.abs(rng.normal(size=(40, 60)))
            predicted, error = np.ones(truth.shape), np.full(truth.shape, 0.1)
            measured = truth + error * rng.normal(size=truth.shape)
            halves.append((truth, predicted, np.ones(truth.shape), measured, error))
        signs = Signs.fitted(*halves[0][1:], [np.arange(40)])
        truth, predicted, sd, *_ = halves[1]
        kept.append((truth < 0).mean() <= signs.rate(predicted, sd).min())
    assert np.mean(kept) > 0.8


def test_what_a_whole_line_shares_is_counted_by_line():
    """Three lines with other rates: the limit is that of Student's distribution of three values."""
    rng = np.random.default_rng(5)
    line = np.repeat([0, 1, 2], 40)
    rates = np.array([0.05, 0.1, 0.3])
    wrong = rng.random((120, 50)) < rates[line][:, None]
    predicted, one = rng.uniform(0.5, 1.5, wrong.shape), np.ones(wrong.shape)
    facts = predicted, one, np.where(wrong, -1.0, 1.0), 0 * one
    by_pair, by_line = (Signs.fitted(*facts, d) for d in ([np.arange(120)], [np.arange(120), line]))
    share = np.array([wrong[line == number].mean() for number in range(3)])
    limit = share.mean() + 4.3027 * share.std(ddof=1) / np.sqrt(3)  # t of 2 degrees, .975
    assert np.median(by_line.wrong) == pytest.approx(limit, abs=0.08)  # each of a share of values
    assert np.median(by_pair.wrong) < 0.6 * limit
