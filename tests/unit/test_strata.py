"""Scores by strength of the real response, and who solves how many pairs."""

from dataclasses import replace

import numpy as np
import pytest
from comparison_cases import EVALUATION, planted
from statsmodels.stats.proportion import proportion_confint

from ptrag.comparison.claims import SplitClaims
from ptrag.comparison.compare import compared_split
from ptrag.comparison.strata import (
    A_BASELINE,
    A_MODEL_ALONE,
    NOBODY,
    STRATA,
    Stratum,
    reaches,
    solved_rows,
    strata_rows,
)


def tables(scores, **more):
    return compared_split(scores, EVALUATION | more, set(), False)


def as_baseline(scores):
    """Ceilings which are at full size, 2 r / (1 + r), about what the mean baseline has."""
    others = np.roll(scores.floor, 1, axis=0) - 0.02
    return others / (2 - others)


def test_thirds_are_by_strength_and_have_the_means_of_their_pairs():
    scores = planted({"ridge": 0.3, "ptrag": 0.4}, n=30, rng=3)
    shuffled = np.random.default_rng(0).permutation(30)
    scores = replace(scores, pairs=scores.pairs.assign(strength=shuffled - 12.5))
    rows = [row for row in tables(scores).strata.to_dict("records") if row["arm"] == "ptrag"]
    assert [row["stratum"] for row in rows] == [*STRATA]
    for third, row in enumerate(rows):
        own = (shuffled >= 10 * third) & (shuffled < 10 * (third + 1))
        assert row["n_pairs"] == 10
        assert (row["weakest"], row["strongest"]) == (10 * third - 12.5, 10 * third - 3.5)
        assert row["mean"] == pytest.approx(scores.values["ptrag"][own, 0, 0].mean())
        assert row["floor"] == pytest.approx(scores.floor[own, 0].mean())
        assert row["low"] <= row["mean"] <= row["high"]


def test_a_metric_can_be_trusted_in_one_third_and_not_in_another():
    scores = planted({"ridge": 0.3, "ptrag": 0.4}, n=30)
    noisy = scores.ceiling.copy()
    noisy[:10] = as_baseline(scores)[:10]
    rows = strata_rows(replace(scores, ceiling=noisy), EVALUATION)
    of_arm = [row for row in rows if row.arm == "ptrag"]
    assert [row.trusted for row in of_arm] == [False, True, True]
    assert np.isnan(of_arm[0].scaled) and np.isfinite(of_arm[2].scaled)


def test_pairs_without_a_strength_are_in_no_third_and_few_pairs_have_none():
    scores = planted({"ptrag": 0.4}, n=9)
    strength = np.where(np.arange(9) < 3, np.nan, np.arange(9.0))
    rows = strata_rows(replace(scores, pairs=scores.pairs.assign(strength=strength)), EVALUATION)
    assert [row.n_pairs for row in rows] == [2, 2, 2] and rows[0].weakest == 3
    alone = strata_rows(planted({"ptrag": 0.4}, n=3), EVALUATION)
    assert alone == [] and list(tables(planted({"ptrag": 0.4}, n=3)).strata) == [
        *Stratum.__dataclass_fields__
    ]


def solvable(solved_by, n=20):
    """Scores in which each arm reaches the replicate on the given pairs, and is far on others."""
    scores = planted(dict.fromkeys(solved_by, 0.0), n=n)
    full = 2 * scores.ceiling[:, 0] / (1 + scores.ceiling[:, 0])
    values = {
        arm: np.where(np.isin(np.arange(n), rows), full + 1e-9, full - 0.3)[:, None, None]
        for arm, rows in solved_by.items()
    }
    return replace(scores, values=values)


def test_pairs_are_shared_out_between_baselines_models_and_nobody():
    scores = solvable({
        "ridge": range(4), "knn": range(2, 6), "ptrag": range(5, 12), "state": [0, 12],
        "ptrag@shuffled": range(20), "oracle": range(20),
    })  # fmt: skip
    rows = tables(scores).solved.set_index("by")
    assert rows["n_solved"].to_dict() == {
        A_BASELINE: 6, A_MODEL_ALONE: 7, NOBODY: 7, "ridge": 4, "knn": 4, "ptrag": 7, "state": 2,
        "ptrag@shuffled": 20, "oracle": 20,
    }  # fmt: skip
    assert rows["share"].to_numpy() == pytest.approx(rows["n_solved"].to_numpy() / 20)
    expected = proportion_confint(rows["n_solved"], 20, alpha=0.05, method="wilson")
    np.testing.assert_allclose(rows[["low", "high"]].to_numpy().T, expected, atol=1e-12)
    assert rows["n_pairs"].eq(20).all() and rows["metric"].eq("pearson_delta").all()


def test_nothing_is_counted_where_no_metric_can_be_trusted():
    scores = planted({"ridge": 0.3, "ptrag": 0.4})
    scores = replace(scores, ceiling=as_baseline(scores))
    assert tables(scores).solved.empty


def test_pairs_of_one_perturbation_are_no_independent_ones():
    scores = solvable({"ridge": range(4)}, n=20)
    pairs = scores.pairs.assign(perturbation=[f"P{i // 2}" for i in range(20)])
    row = tables(replace(scores, pairs=pairs)).solved.set_index("by").loc["ridge"]
    expected = proportion_confint(2, 10, alpha=0.05, method="wilson")
    assert (row["low"], row["high"]) == pytest.approx(expected)


def test_a_pair_without_a_replicate_is_not_counted():
    scores = solvable({"ridge": range(20)})
    ceiling = scores.ceiling.copy()
    ceiling[:4] = np.nan
    compared = tables(replace(scores, ceiling=ceiling))
    claims = SplitClaims(compared.comparison, compared.contrasts, "s", "test", EVALUATION)
    rows = solved_rows(replace(scores, ceiling=ceiling), claims, EVALUATION)
    assert {row.n_pairs for row in rows} == {16} and rows[0].n_solved == 16


@pytest.mark.parametrize(
    ("metric", "values", "replicate", "solved"),
    [
        ("pearson_delta", [0.67, 0.66], [0.5, 0.5], [True, False]),  # 2 r / (1 + r) = 2/3
        ("pearson_delta", [0.0, -0.1], [-0.4, -0.4], [True, False]),
        ("mse", [0.1, 0.11], [0.2, 0.2], [True, False]),  # half of the halves' error
        ("energy", [0.2, 0.21], [0.2, 0.2], [True, False]),
        ("pds_cosine", [1.0, 0.9], [0.95, 0.95], [True, False]),
    ],
)
def test_a_pair_is_solved_at_its_own_replicate_of_full_size(metric, values, replicate, solved):
    assert reaches(metric, np.array(values), np.array(replicate)).tolist() == solved
