"""What is claimed of planted scores, and how often equal arms are called different."""

import numpy as np
import pandas as pd
import pytest
import yaml
from comparison_cases import EVALUATION, SIMPLE, baselines, claimed, planted

from ptrag.comparison.claims import same_scores
from ptrag.comparison.contrasts import IMPROVING, UNTRUSTED, kind_of, pairings
from ptrag.metrics.registry import METRICS


def test_better_than_every_baseline_beats_the_simple_baselines():
    claims = claimed(planted(baselines() | {"ptrag": 0.5}))
    assert claims.outcome == "model"
    (winner,) = claims.winners
    assert set(winner.beaten) == set(SIMPLE) and winner.n_baselines == len(SIMPLE)
    assert winner.hardest.better == "arm" and winner.hardest.difference == pytest.approx(0.2, 0.3)


def test_all_but_one_is_not_all():
    claims = claimed(planted(baselines(additive=0.5) | {"ptrag": 0.5}))
    assert claims.outcome == "open"
    standing = claims.standings[0]
    assert set(standing.beaten) == set(SIMPLE) - {"additive"}
    assert standing.undecided == ("additive",) and standing.standing == "undecided"
    assert standing.hardest.against == "additive"


def test_a_baseline_that_was_not_tested_is_not_beaten():
    evaluation = EVALUATION | {"contrasts": [["ptrag", "ridge"]]}
    claims = claimed(planted(baselines() | {"ptrag": 0.5}), evaluation)
    standing = claims.standings[0]
    assert standing.beaten == ("ridge",) and len(standing.untested) == len(SIMPLE) - 1
    assert claims.outcome == "open"


def test_a_baseline_better_than_every_model_wins():
    claims = claimed(planted(baselines(ridge=0.6) | {"ptrag": 0.3, "state": 0.35}))
    assert claims.outcome == "baseline" and claims.winning_baseline == "ridge"
    assert {standing.standing for standing in claims.standings} == {"worse"}


def test_a_baseline_does_not_win_over_a_model_that_was_not_tested():
    evaluation = EVALUATION | {"contrasts": [["ptrag", "baselines"]]}
    scores = planted(baselines(ridge=0.6) | {"ptrag": 0.3, "state": 0.35})
    assert claimed(scores, evaluation).outcome == "open"


def test_two_baselines_that_each_beat_one_model_do_not_win():
    scores = planted(baselines(ridge=0.5, knn=0.45) | {"ptrag": 0.3, "state": 0.5})
    assert claimed(scores).outcome == "open"


def test_where_less_is_better_the_smaller_wins():
    scores = planted(baselines() | {"ptrag": 0.5}, metrics=("mse",))
    claims = claimed(scores)
    assert claims.means("mse").index[0] == "ptrag"
    assert claims.outcome == "model" and claims.winners[0].hardest.difference < 0


def test_one_and_the_same_model_in_every_row():
    """ptrag leads on the deciding metric, state by far on the other."""
    levels = baselines() | {
        "ptrag": {"pearson_delta": 0.6, "mse": 0.3},
        "state": {"pearson_delta": 0.4, "mse": 0.6},
    }
    levels = {arm: level if isinstance(level, dict) else {"pearson_delta": level, "mse": level}
              for arm, level in levels.items()}  # fmt: skip
    claims = claimed(planted(levels, metrics=("pearson_delta", "mse")))
    assert [row.arm for row in claims.followed] == ["ptrag", "ptrag"]
    assert [row.standing for row in claims.followed] == ["better", "undecided"]


def test_the_first_primary_metric_that_can_be_trusted_decides():
    scores = planted(baselines() | {"ptrag": 0.5}, metrics=("pearson_delta", "mse"))
    assert claimed(scores).metric == "pearson_delta"
    scores.ceiling[:, 0] = 0  # halves of the real cells have nothing in common
    claims = claimed(scores)
    assert claims.metric == "mse" and claims.trusted == ["mse"] and claims.outcome == "model"
    of = {contrast.metric: contrast for contrast in claims.contrasts}
    assert of["pearson_delta"].better == "neither" and of["pearson_delta"].barred == UNTRUSTED
    scores.ceiling[:, 1] = 2 * scores.floor[:, 1]  # a replicate of full size is no better
    assert claimed(scores).outcome == "untrusted"


def test_an_arm_still_improving_carries_no_claim():
    scores = planted(baselines() | {"ptrag": 0.6, "ptrag@shuffled": 0.2, "state": 0.5})
    claims = claimed(scores, improving=["ptrag"])
    assert [winner.arm for winner in claims.winners] == ["state"]
    assert claims.improving == ["ptrag"] and claims.standings[0].improving
    assert {c.barred for c in claims.contrasts if c.arm == "ptrag"} == {IMPROVING}
    assert claims.controls[0].standing == "undecided"
    # nor does a baseline win over a model that is not finished
    lost = planted(baselines(ridge=0.8) | {"ptrag": 0.3})
    assert claimed(lost).outcome == "baseline"
    assert claimed(lost, improving=["ptrag"]).outcome == "open"


def test_negative_controls_say_what_they_spoil():
    levels = {"line_mean": 0.3, "response_expert": 0.5, "response_expert@shuffled": 0.5,
              "response_expert@permuted": 0.3, "response_expert@random": 0.7,
              "response_expert@reassigned": 0.3}  # fmt: skip
    controls = {claim.control: claim for claim in claimed(planted(levels)).controls}
    assert {name: (claim.spoilt, claim.standing) for name, claim in controls.items()} == {
        "shuffled": ("texts", "undecided"),
        "permuted": ("responses", "better"),
        "random": ("texts", "worse"),
        "reassigned": ("candidates", "better"),
    }


def test_seven_perturbations_and_many_contrasts_cannot_decide_anything():
    levels = baselines() | {"ptrag": 0.9, "state": 0.9}
    claims = claimed(planted(levels, n=7))
    assert claims.outcome == "undecidable"
    contrast = claims.contrasts[0]
    assert (contrast.n_perturbations, contrast.n_contrasts) == (7, 2 * len(SIMPLE))
    assert contrast.p == 2**-6 and contrast.smallest_p == 2 * len(SIMPLE) * 2**-6
    assert contrast.power == "none" and contrast.detectable == np.inf
    # three contrasts can
    few = EVALUATION | {"contrasts": [["ptrag", "baselines"]]}
    levels = {arm: levels[arm] for arm in ("control", "ridge", "knn", "ptrag")}
    assert claimed(planted(levels, n=7), few).outcome == "model"


def test_one_seed_is_named_for_trained_models_alone():
    levels = {"line_mean": 0.3, "response_expert": 0.5, "ptrag": 0.5, "state": 0.5}
    claims = claimed(planted(levels, seeds={"state": 3}))
    assert claims.one_seed == ["ptrag"]


def test_the_luck_of_seeds_is_no_claim():
    """Three seeds that differ by more than the arms: the pairs alone would decide."""
    scores = planted({"line_mean": 0.3, "ptrag": 0.3}, seeds={"ptrag": 3}, noise=0.01)
    scores.values["ptrag"] += np.array([0.2, 0.0, -0.05])
    contrast = claimed(scores).contrasts[0]
    assert contrast.holm_p < 0.01 and contrast.low < 0 < contrast.high
    assert contrast.better == "neither"


def test_arms_with_the_same_scores_have_no_detectable_difference():
    scores = planted({"line_mean": 0.3, "response_expert": 0.5, "response_rag": 0.5},
                     seeds={"response_rag": 3})  # fmt: skip
    scores.values["response_rag"][:] = scores.values["response_expert"]
    evaluation = EVALUATION | {"contrasts": [["response_rag", "response_expert"]]}
    (contrast,) = claimed(scores, evaluation).contrasts
    assert contrast.power == "same" and np.isnan(contrast.detectable) and contrast.p == 1
    tables = {arm: pd.DataFrame(array[:, :, 0]) for arm, array in scores.values.items()}
    assert same_scores(pd.concat(tables, names=["arm"])) == [["response_expert", "response_rag"]]


def test_the_gap_to_the_oracle():
    claims = claimed(planted({"ridge": 0.3, "ptrag": 0.5, "oracle": 0.7}, noise=0))
    assert claims.gap_closed("ptrag") == pytest.approx(0.5)
    assert claimed(planted({"ridge": 0.3, "ptrag": 0.5})).gap_closed("ptrag") is None


def test_nothing_is_claimed_without_a_model_or_a_baseline():
    assert claimed(planted({"ptrag": 0.5})).outcome == "none"
    assert claimed(planted(baselines())).outcome == "none"


def test_kinds_of_arms():
    assert kind_of("additive_singles") == kind_of("knn") == "baseline"
    assert kind_of("oracle") == "ceiling" and kind_of("knn@shuffled") == "negative control"
    assert kind_of("response_expert") == "model"


def test_words_of_the_configuration_are_spelt_out():
    arms = ["control", "ridge", "ptrag", "ptrag@shuffled", "knn", "knn@random", "oracle"]
    named = [["models", "baselines"], ["models", "controls"], ["knn", "controls"], ["ptrag", "knn"]]
    assert pairings(named, arms) == [
        ("ptrag", "control"), ("ptrag", "ridge"), ("ptrag", "knn"), ("ptrag", "ptrag@shuffled"),
        ("knn", "knn@random"),
    ]  # fmt: skip


def test_an_error_worse_on_100_of_120_perturbations_is_not_called_better():
    """The mean is a little better, by 20 perturbations; on the other 100 the arm is worse."""
    rng = np.random.default_rng(12)
    scores = planted({"line_mean": 0.5, "ptrag": 0.5}, n=120, metrics=("mse",))
    difference = np.concatenate([rng.uniform(0.01, 0.03, 100), -rng.uniform(0.05, 0.25, 20)])
    scores.values["ptrag"][:, 0, 0] = scores.values["line_mean"][:, 0, 0] + difference
    (contrast,) = claimed(scores).contrasts
    assert contrast.difference == pytest.approx(difference.mean()) and contrast.difference < 0
    assert contrast.better == "neither" and contrast.holm_p > 0.05


def test_every_metric_that_may_be_primary_is_one(root):
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    allowed = schema["$defs"]["evaluation"]["properties"]["primary"]["items"]["enum"]
    assert set(allowed) <= set(METRICS)


def test_equal_arms_are_rarely_said_to_beat_anything():
    """200 comparisons of a model with six baselines that are all the same: at most 5 % beats."""
    beats = some = 0
    for seed in range(200):
        scores = planted(baselines() | {"ptrag": 0.3}, n=25, pairs_each=2, noise=0.1, rng=seed)
        claims = claimed(scores, EVALUATION | {"bootstrap": 200})
        beats += claims.outcome in ("model", "baseline")
        some += any(contrast.better != "neither" for contrast in claims.contrasts)
    assert beats <= 10
    assert some <= 20  # Holm holds for every single contrast too: 5 % of 200, and chance


@pytest.mark.parametrize(("additive", "most"), [(0.6, 0), (0.5, 5)])
def test_superiority_over_all_but_one_is_not_over_the_simple_baselines(additive, most):
    """Far better than five baselines; the sixth is better (never), or equal (≤ 5 % of 100)."""
    beats = 0
    for seed in range(100):
        levels = baselines(0.1, additive=additive) | {"ptrag": 0.5}
        scores = planted(levels, n=25, noise=0.1, rng=seed)
        claims = claimed(scores, EVALUATION | {"bootstrap": 200})
        beats += claims.outcome == "model"
        assert len(claims.standings[0].beaten) >= 5
    assert beats <= most
