"""Which arm the report recommends, and in what words."""

from types import SimpleNamespace

import pytest
from comparison_cases import EVALUATION, baselines, claimed, planted

from ptrag.base.errors import PtragError
from ptrag.comparison.recommendation import pages_of, recommend
from ptrag.report.recommendation import FOR, advice
from ptrag.splits.protocols import PROTOCOLS


def split_of(claims, protocol="unseen_perturbation", target=None):
    return SimpleNamespace(
        claims=claims, protocol=protocol, target=target, pairs=range(30), name="s"
    )


def test_a_model_that_beats_every_baseline_is_recommended_with_what_it_gains():
    claims = claimed(planted(baselines(knn=0.4) | {"ptrag": 0.55}))
    assert recommend(claims).arm == "ptrag"
    text = advice(split_of(claims))
    contrast = next(c for c in claims.contrasts if (c.arm, c.against) == ("ptrag", "knn"))
    assert text.startswith("For new genes, perturbed in no line: use ptrag. It gains +0.1")
    assert f"{contrast.difference:+.2f}" in text and f"{contrast.low:+.2f}" in text
    assert "in Pearson Δ over knn, the best of the simple baselines" in text


def test_a_baseline_that_beats_every_model_is_recommended():
    claims = claimed(planted(baselines(ridge=0.6) | {"ptrag": 0.4, "state": 0.3}))
    assert recommend(claims).arm == "ridge"
    text = advice(split_of(claims, "unseen_combination", "hepg2"))
    assert text.startswith(
        "For genes that were perturbed in another line but not in hepg2: use ridge"
    )


def test_where_nothing_is_decided_no_model_is_recommended():
    claims = claimed(planted(baselines(knn=0.5) | {"ptrag": 0.5}))
    assert claims.outcome == "open"
    assert recommend(claims).arm == claims.first("pearson_delta", "baseline")
    text = advice(split_of(claims))
    assert "nothing is decided. No model was shown to be better" in text
    assert "use ptrag" not in text and "the best mean of a model is that of ptrag" in text


def test_a_training_before_its_plateau_is_not_recommended():
    claims = claimed(planted(baselines() | {"ptrag": 0.8}), improving=["ptrag"])
    assert recommend(claims).arm != "ptrag"
    assert "ptrag has not been trained to its plateau" in advice(split_of(claims))


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (planted(baselines() | {"ptrag": 0.8}, n=4), "Too few perturbations were measured"),
        (
            planted(baselines() | {"ptrag": 0.8}, ends={True: (0.7, 0.2), False: (0.3, 0.8)}),
            "Even a repetition of the experiment is not clearly nearer",
        ),
        (planted(baselines()), "no model was held against a simple baseline"),
    ],
    ids=["undecidable", "untrusted", "none"],
)
def test_where_nothing_can_be_decided_nothing_is_recommended(scores, words):
    claims = claimed(scores)
    assert recommend(claims).arm is None
    text = advice(split_of(claims))
    assert "no recommendation" in text and words in text
    assert len(pages_of(claims)) == 1  # single pairs are shown all the same


def test_the_other_primary_metrics_are_not_hidden():
    levels = {arm: {"pearson_delta": 0.3, "mse": 0.6} for arm in baselines()}
    scores = planted(
        levels | {"ptrag": {"pearson_delta": 0.6, "mse": 0.3}}, metrics=("pearson_delta", "mse")
    )
    claims = claimed(scores, EVALUATION)
    assert recommend(claims).worse == ("mse",)
    assert "It is worse than a simple baseline by MSE." in advice(split_of(claims))


def test_pages_show_the_recommended_arm_and_the_leading_model():
    assert pages_of(claimed(planted(baselines() | {"ptrag": 0.6}))) == ["ptrag"]
    claims = claimed(planted(baselines(ridge=0.6) | {"ptrag": 0.4}))
    assert pages_of(claims) == ["ridge", "ptrag"]


def test_every_protocol_has_words():
    assert FOR.keys() == set(PROTOCOLS)
    with pytest.raises(PtragError, match="no protocol is called 'other'"):
        advice(split_of(claimed(planted(baselines())), "other"))
