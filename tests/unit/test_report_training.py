"""What the report says of trainings, on planted curves."""

import numpy as np
import pytest
from report_cases import DATE, SETTINGS, Page, compared, plant, plant_bundle, plant_history

from ptrag.base.names import Run
from ptrag.base.plateau import GAIN, PATIENCE, WINDOW
from ptrag.report import plots, training
from ptrag.report.gather import gather
from ptrag.report.page import write_report

STEPS = np.arange(41.0)
SETTLED = 0.5 + 0.5 * np.exp(-STEPS / 3)
CURVES = {
    "state_genept": 1 / (1 + STEPS),  # falls without end
    "ptrag": np.full(41, 0.7),  # is flat
    "ptrag@shuffled": SETTLED + 0.004 * np.maximum(STEPS - 15, 0),  # is over-fitted
    "response_rag": SETTLED * (1 + 0.01 * np.random.default_rng(2).standard_normal(41)),  # noisy
    "response_rag@shuffled": 1 + 0.02 * STEPS,  # rises from the start
}  # of the validation energy, less being better
KEPT = {arm: int(np.argmin(curve)) for arm, curve in CURVES.items()}
RUNS = [("genes", arm, 1) for arm in CURVES] + [("genes", "line_mean", 0), ("genes", "control", 0)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    plant(folder, runs=RUNS)
    for arm, curve in CURVES.items():
        run = folder / Run("genes", arm, 1).path
        plant_history(run / "history.tsv", losses=curve.tolist())
        plant_bundle(run / "bundle" / "bundle.json", arm, 1, KEPT[arm])
    compared(folder, RUNS)
    return folder


@pytest.fixture(scope="module")
def results(home):
    return gather(home, RUNS, SETTINGS)


def test_the_ring_stands_at_the_step_that_was_kept(results, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "to_svg", lambda figure, alt, name: drawn.append(figure))
    training.curves(results, results.splits["genes"])
    validation, loss = drawn[0].axes[0], drawn[1].axes[0]
    rings = [line for line in validation.lines if line.get_label() == plots.KEPT]
    drawn_at = sorted((ring.get_markeredgecolor(), *ring.get_xydata()[0]) for ring in rings)
    wanted = sorted((results.arms[arm].look.colour, KEPT[arm], CURVES[arm].min()) for arm in CURVES)
    for got, want in zip(drawn_at, wanted, strict=True):
        assert got[0] == want[0]
        np.testing.assert_allclose(got[1:], want[1:], atol=1e-9)
    # a value that chose no checkpoint has no ring
    assert not any(len(line.get_xdata()) for line in loss.lines if line.get_label() == plots.KEPT)


def test_the_table_has_steps_minutes_plateau_and_score_of_every_trained_arm(results):
    split = results.splits["genes"]
    rows = {row[0].text: row for row in training.trainings(results, split).rows}
    assert set(rows) == set(CURVES)
    scores = split.claims.scores.set_index(["arm", "metric"])["mean"]
    for arm, (_, kept, last, plateau, minutes, score) in rows.items():
        assert kept.text == str(KEPT[arm]) and last.text == "40"
        assert minutes.value == pytest.approx(60.0)  # 40 steps of 90 s
        assert (plateau.text == "still improving") == (arm == "state_genept")
        assert score.value == scores[arm, split.claims.metric]


def test_the_page_says_the_rule_and_who_is_still_improving(home):
    write_report(home, RUNS, SETTINGS, home / "report.html", DATE)
    words = Page((home / "report.html").read_text(encoding="utf-8")).words
    section = words[words.index("A ring marks the step") :]
    assert f"smoothed over {WINDOW} validations" in section
    assert f"at least {PATIENCE}" in section and f"{100 * GAIN:g} %" in section
    assert "nothing is claimed: state_genept." in section
