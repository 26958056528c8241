"""What the first lines of the report say of planted results."""

from dataclasses import replace

import pandas as pd
import pytest
from report_cases import RUNS, SETTINGS, plant

from ptrag.report.gather import gather
from ptrag.report.verdict import bar, headline, verdict


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    plant(folder)
    return gather(folder, RUNS, SETTINGS)


@pytest.mark.parametrize(
    ("lead", "line", "kind"),
    [
        (0.1, "A model beats the best simple baseline on both splits.", "model"),
        (0.0, "Nothing is decided on both splits: no model is clearly ahead", "open"),
        (-0.1, "A simple baseline wins on both splits: every model is worse.", "baseline"),
    ],
)
def test_the_verdict_follows_the_contrasts(tmp_path, lead, line, kind):
    arms = ("perturbation_mean", "line_mean", "state_genept", "response_rag")
    runs = [(split, arm, seed) for split, arm, seed in RUNS if arm in arms and seed < 2]
    results = gather(tmp_path, runs, plant(tmp_path, lead=lead, runs=runs))
    verdicts = verdicts_of(results)
    said, words = headline(results, verdicts)
    assert words.startswith(f"planted (simulated): {line}")
    assert said == kind
    outcomes = {"model": "better", "baseline": "worse", "open": "undecided"}
    assert {v.findings[0].outcome for v in verdicts} == {outcomes[kind]}
    assert all("perturbation_mean" in v.short for v in verdicts)
    assert any("Power: with" in note for v in verdicts for note in v.notes) == (kind == "open")


def verdicts_of(results):
    return [verdict(results, split) for split in results.splits.values()]


def test_the_bar_is_the_baseline_that_the_contrasts_name(results):
    contrasts = results.contrasts.copy()
    its = (contrasts["split"] == "genes") & (contrasts["kind"] == "baseline")
    its &= contrasts["metric"] == "energy"
    assert set(contrasts.loc[its, "against"]) == {"perturbation_mean"}
    assert bar(results, results.splits["genes"], "energy") == "perturbation_mean"
    contrasts.loc[its, "against"] = "line_mean"  # chosen on validation, not the best here
    other = replace(results, contrasts=contrasts)
    assert bar(other, results.splits["genes"], "energy") == "line_mean"


def test_a_baseline_ahead_of_the_winner_leaves_it_undecided(results):
    """The bar is chosen on validation pairs; another baseline may be better where it counts."""
    comparison = results.comparison.copy()
    rows = (comparison["arm"] == "knn") & (comparison["metric"] == "pearson_delta")
    comparison.loc[rows, "mean"] = 0.7
    other = replace(results, comparison=comparison)
    verdicts = verdicts_of(other)
    assert headline(other, verdicts)[0] == "open"
    assert all("but knn has a better mean" in v.sentence for v in verdicts)


def test_lost_and_open_splits_are_named_before_won_ones(results):
    contrasts = results.contrasts.copy()
    contrasts.loc[contrasts["split"] == "genes", "better"] = "against"
    other = replace(results, contrasts=contrasts)
    said, words = headline(other, verdicts_of(other))
    assert said == "open"
    assert words.index("A simple baseline wins on genes") < words.index("beats the best simple")


def test_without_validation_pairs_the_best_of_all_baselines_is_the_bar(results):
    contrasts = results.contrasts
    again = contrasts[contrasts["kind"] == "baseline"].assign(against="line_mean")
    other = replace(results, contrasts=pd.concat([contrasts, again]))
    assert bar(other, results.splits["genes"], "energy") == "perturbation_mean"
    assert all("no validation pairs" in " ".join(v.notes) for v in verdicts_of(other))
