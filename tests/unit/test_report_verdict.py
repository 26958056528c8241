"""What the first lines of the report say of planted results."""

import pandas as pd
import pytest
from comparison_cases import EVALUATION, baselines, claimed, planted
from report_cases import LEVELS, RUNS, SETTINGS, compared, plant, plant_history

from ptrag.base.files import read_table, write_table
from ptrag.base.names import Run
from ptrag.report.gather import gather
from ptrag.report.verdict import _sentence, headline, power, relation, verdict

ARMS = ("control", "perturbation_mean", "line_mean", "knn", "state_genept", "response_rag")
FEWER = [run for run in RUNS if run[1] in ARMS and run[2] < 2]


def read(home, runs=FEWER, **settings):
    evaluation = SETTINGS["evaluation"] | settings
    return gather(home, runs, SETTINGS | {"evaluation": evaluation})


def verdicts_of(results):
    return [verdict(split) for split in results.splits.values()]


@pytest.mark.parametrize(
    ("lead", "line", "outcome"),
    [
        (0.1, "A model beats every simple baseline on both splits.", "model"),
        (0.0, "Nothing is decided on both splits: no model beats the simple baselines.", "open"),
        (-0.3, "A simple baseline wins on both splits: it is better than every model.", "baseline"),
    ],
)
def test_the_verdict_follows_the_claims(tmp_path, lead, line, outcome):
    levels = LEVELS | {"state_genept": -0.05 if lead < 0.1 else -0.01}
    plant(tmp_path, lead=lead, runs=FEWER, levels=levels)
    results = read(tmp_path)
    verdicts = verdicts_of(results)
    result, words = headline(results, verdicts)
    assert words.startswith(f"planted (simulated): {line}")
    assert result == outcome
    assert all("perturbation_mean" in v.short for v in verdicts)
    assert {v.split.claims.outcome for v in verdicts} == {outcome}
    assert any("Power: with" in note for v in verdicts for note in v.notes) == (outcome == "open")


def test_splits_without_success_are_named_before_the_others(tmp_path):
    plant(tmp_path, runs=FEWER)
    for run in FEWER:
        if run[0] == "genes" and run[1] == "knn":
            path = tmp_path / Run(*run).path / "metrics.tsv"
            table = read_table(path)
            table["value"] += 0.4 * (table["metric"] == "pearson_delta")
            write_table(table, path)
    compared(tmp_path, FEWER)
    result, words = headline(results := read(tmp_path), verdicts_of(results))
    assert result == "open"
    assert words.index("A simple baseline wins on genes") < words.index("A model beats every")


def test_a_training_that_still_falls_is_named_and_carries_no_claim(tmp_path):
    plant(tmp_path, runs=FEWER)
    for split in ("hepg2", "genes"):
        plant_history(tmp_path / split / "response_rag" / "seed1" / "history.tsv", improving=True)
    compared(tmp_path, FEWER)
    for v in verdicts_of(read(tmp_path)):
        assert "state_genept beats all 4 simple baselines" in v.sentence
        assert "response_rag" not in v.sentence
        assert any("No claim is made about response_rag" in note for note in v.notes)


def test_pairs_left_out_and_single_seeds_are_said(tmp_path):
    plant(tmp_path, runs=FEWER)
    run = next(run for run in FEWER if run[1] == "knn" and run[0] == "hepg2")
    path = tmp_path / Run(*run).path / "metrics.tsv"
    table = read_table(path)
    gone = table["perturbation"] == table.loc[table["role"] == "test", "perturbation"].iloc[0]
    table.loc[gone, ["value", "n_predicted"]] = float("nan"), 0
    write_table(table, path)
    compared(tmp_path, FEWER)
    results = read(tmp_path)
    hepg2, genes = verdicts_of(results)
    assert "1 pair that some arm did not predict is left out for all arms." in hepg2.notes
    assert len(results.splits["hepg2"].pairs) == 9 and "9 test pairs" in hepg2.sentence
    assert not any("left out" in note for note in genes.notes)
    assert any(
        note.startswith("One seed: state_genept and response_rag ran with one seed")
        for note in genes.notes
    )


def test_arms_with_the_same_scores_are_named_as_one(tmp_path):
    plant(tmp_path, runs=FEWER)
    folder = tmp_path / "genes"
    copy = (folder / "state_genept" / "seed1" / "metrics.tsv").read_bytes()
    (folder / "response_rag" / "seed1" / "metrics.tsv").write_bytes(copy)
    compared(tmp_path, FEWER)
    hepg2, genes = verdicts_of(read(tmp_path))
    assert "response_rag and state_genept have the same scores on every pair" in str(genes.notes)
    assert "the same scores" not in str(hepg2.notes)


def sentence(levels, evaluation=EVALUATION, **more):
    """Return the sentence of planted scores."""
    improving = more.pop("improving", ())
    return _sentence(claimed(planted(levels, **more), evaluation, improving))


def test_all_but_one_is_worded_as_what_it_is():
    words = sentence(baselines(additive=0.5) | {"ptrag": 0.5})
    assert "no model beats the simple baselines by Pearson Δ" in words
    assert "beats 7 of 8 simple baselines and is not shown to differ from additive" in words
    words = sentence(baselines(0.5, ridge=0.3) | {"ptrag": 0.5})
    assert "beats ridge and is not shown to differ from" in words
    assert "beats all" not in words and "beats the simple baselines" not in words.split(". ", 1)[1]


def test_one_baseline_is_called_the_only_one():
    words = sentence({"ridge": 0.3, "ptrag": 0.5})
    assert words.startswith("ptrag beats ridge, the only simple baseline that ran by Pearson Δ.")


def test_a_baseline_that_wins_is_said_to_win():
    words = sentence(baselines(ridge=0.6) | {"ptrag": 0.3, "state": 0.2})
    assert words.startswith("a simple baseline wins by Pearson Δ: ridge is better than every model")


def test_seven_perturbations_and_sixteen_contrasts_are_said_to_be_too_few():
    words = sentence(baselines() | {"ptrag": 0.9, "state": 0.9}, n=7)
    assert words == (
        "nothing can be decided. 7 perturbations and 16 contrasts cannot decide anything: the "
        "smallest p that the test can reach is 0.016, after Holm = 0.25; measure more "
        "perturbations, or name fewer contrasts (evaluation.contrasts)."
    ).replace("= ", "")


def test_no_power_sentence_speaks_of_a_difference_of_nothing():
    scores = planted({"line_mean": 0.3, "ptrag": 0.3}, noise=0)
    contrast = claimed(scores).contrasts[0]
    assert power(contrast) == "ptrag and line_mean have the same score on every pair"
    tiny = planted({"line_mean": 0.3, "ptrag": 0.3}, noise=1e-8)
    words = power(claimed(tiny).contrasts[0])
    assert "0.000000" not in words and "e−09" in words


def test_a_metric_that_tells_nothing_carries_no_sentence():
    scores = planted({"line_mean": 0.3, "ptrag": 0.6})
    scores.ceiling[:] = 0  # halves of the real cells have nothing in common
    words = _sentence(claimed(scores))
    assert words.startswith("nothing can be said: on these pairs none of the primary metrics")


def test_what_was_not_tested_is_not_claimed():
    evaluation = EVALUATION | {"contrasts": [["ptrag", "ridge"]]}
    standing = claimed(planted(baselines() | {"ptrag": 0.5}), evaluation).standings[0]
    words = relation(standing)
    assert words.startswith("beats ridge and was not held against ")
    assert all(name in words for name in ("control", "additive", "knn"))


@pytest.mark.parametrize(
    ("control", "level", "words"),
    [
        ("shuffled", 0.2, "against itself with shuffled texts: the texts matter to it"),
        ("random", 0.5, "with random texts: it is not shown that the texts matter to it"),
        ("permuted", 0.2, "with permuted responses: which responses it retrieves matters to it"),
        ("reassigned", 0.2, "reassigned candidates: which candidates it retrieves matters to it"),
        (
            "shuffled",
            None,
            "with shuffled texts: shuffled texts change nothing, its scores are the",
        ),
        ("permuted", 0.8, "with permuted responses: it is better with permuted responses"),
    ],
)
def test_negative_controls_are_worded_for_what_they_spoil(control, level, words):
    from ptrag.report.verdict import _about_control

    spoilt = f"response_expert@{control}"
    scores = planted({"line_mean": 0.3, "response_expert": 0.5, spoilt: level or 0})
    if level is None:
        scores.values[spoilt] = scores.values["response_expert"]
    claims = claimed(scores)
    assert words in _about_control(claims, claims.controls[0])


def test_the_rows_follow_one_model(tmp_path):
    plant(tmp_path, runs=FEWER, metrics=("pearson_delta", "mse", "energy"))
    for run in FEWER:  # state_genept is far the best by MSE
        if run[1] == "state_genept":
            path = tmp_path / Run(*run).path / "metrics.tsv"
            table = read_table(path)
            table["value"] -= 0.8 * (table["metric"] == "mse")
            write_table(table, path)
    compared(tmp_path, FEWER)
    for v in verdicts_of(read(tmp_path)):
        assert [(row.metric.name, row.arm) for row in v.rows] == [
            ("pearson_delta", "response_rag"), ("mse", "response_rag"), ("energy", "response_rag"),
        ]  # fmt: skip
        assert any("Over the 3 primary metrics" in note for note in v.notes)


def test_the_tables_are_read_back_as_they_were_written(tmp_path):
    plant(tmp_path, runs=FEWER)
    rows = pd.read_csv(tmp_path / "contrasts.tsv", sep="\t")
    claims = read(tmp_path).splits["genes"].claims
    assert len(claims.contrasts) == (rows["split"] == "genes").sum()
    assert {contrast.barred for contrast in claims.contrasts} == {""}
