"""The page of the report, on a small results folder with planted values."""

import json
import re
from dataclasses import replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from report_cases import (
    BASELINES,
    CONTROLS,
    DATE,
    FEW,
    HOSTILE,
    MODELS,
    RUNS,
    SETTINGS,
    SOME,
    Page,
    browsed,
    compared,
    plant,
)

from ptrag import __version__
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import read_table, write_table
from ptrag.base.names import PAIR, Pair, Run
from ptrag.cells.controls import YARDSTICK
from ptrag.metrics.registry import METRICS
from ptrag.report import arms as report_arms
from ptrag.report import methods, scores, sections
from ptrag.report.deltas import predicted_deltas
from ptrag.report.gather import gather
from ptrag.report.numbers import decimals, listed, number, p_value, rough
from ptrag.report.page import SECTIONS, UNFOLDED, configuration_digest, write_report
from ptrag.report.verdict import shown_metrics


def written(home, runs=RUNS, **plan):
    settings = plant(home, runs=runs, **plan)
    write_report(home, runs, settings, home / "report.html", DATE)
    return (home / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    written(folder, metrics=SOME)
    return folder


@pytest.fixture(scope="module")
def results(home):
    return gather(home, RUNS, SETTINGS)


@pytest.fixture(scope="module")
def html(home):
    return (home / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A small report on real cells in which the data set and the arms have hostile words too."""
    words = {"summary": HOSTILE, "origin": HOSTILE}
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_arms, "load_arm", lambda name: replace(load_arm(name), **words))
        return written(folder, runs=FEW, simulated=False, dataset=HOSTILE)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_it_has_every_section_in_order_and_well_nested(page):
    assert page.open == []
    assert [i for i in page.ids if i in SECTIONS] == list(SECTIONS)
    assert len(page.ids) == len(set(page.ids))


def test_it_loads_nothing(html, page):
    assert page.references
    assert all(ref.startswith(("#", "data:")) for ref in page.references)
    words = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=\s]+", "", html)
    assert "http" not in words
    assert "@import" not in words and "url(" not in words.replace("url(#", "")


@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it_without_complaint(home, tmp_path, width):
    """Its script runs (heads become buttons), it says nothing, and nothing is wider than the page.

    The report stands in a frame as wide as the screen, since a headless window has a least width.
    """
    title = browsed(
        home / "report.html", tmp_path, width,
        """document.title = [page.documentElement.scrollWidth,
        page.querySelectorAll("th button").length].join(" ");""",
    )  # fmt: skip
    widest, buttons = map(int, title.split())
    assert widest == width
    assert buttons > 20


def test_references_inside_the_page_lead_somewhere(page, html):
    targets = {ref[1:] for ref in page.references if ref.startswith("#")}
    assert targets <= set(page.ids)


def test_figures_have_words_and_tables_captions(page):
    assert page.tags.count("svg") > 20
    assert page.images_without_alt == 0
    assert page.tables == page.captions > 8


def test_simulated_is_said_first_and_in_title_and_figures(html, page):
    assert page.words.index("SIMULATED DATA") < page.words.index("beats every simple baseline")
    assert "planted (simulated): A model beats" in page.words
    assert "<title>ptrag: planted (simulated)</title>" in html
    without_script = html.split("<script>")[0]
    figures = without_script.split("<figcaption>")[1:]
    captions = without_script.split("<caption>")[1:]
    assert all("Simulated." in shown[:60] for shown in figures + captions)


def test_real_cells_are_not_called_simulated(hostile):
    assert "imulated" not in Page(hostile).words


def test_the_verdict_comes_first(page):
    sections = [page.words.rindex(title) for title in ("Verdict", "What was run")]
    assert sections[0] < page.words.index("A model beats every simple baseline")
    assert page.words.index("A model beats every simple baseline") < sections[1]


def test_the_verdict_carries_difference_interval_and_p(home, page):
    rows = pd.read_csv(home / "contrasts.tsv", sep="\t")
    row = rows.query(
        "split == 'hepg2' and metric == 'pearson_delta' and arm == 'response_rag' "
        "and against == 'perturbation_mean'"
    ).iloc[0]
    shown = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    start = page.words.index("On hepg2 (unseen combinations, target line hepg2)")
    assert shown in page.words[start : start + 400]


def test_date_version_and_configuration_stand_on_top(page, results):
    top = page.words[: page.words.index("What to use")]
    assert f"Report of {DATE} · ptrag {__version__} · configuration" in top
    digest = configuration_digest(results.settings)
    assert digest in top
    assert digest != configuration_digest(results.settings | {"seeds": [7]})


def test_what_to_use_comes_first_and_the_rest_is_folded(page, html):
    at = page.words.index("For genes that were perturbed in another line but not in hepg2")
    assert at < page.words.index("Find a gene What is") < page.words.index("What was run Data set")
    folded = re.findall(r'<details class="fold">\s*<summary>\s*<h2 id="(\w+)"', html)
    assert folded == [name for name in SECTIONS if name not in UNFOLDED]


def test_arms_with_the_same_predictions_are_shown_once(tmp_path):
    """``line_mean`` stands for its copy, in tables and plots; the contrasts keep both."""
    runs = [run for run in RUNS if (run[0] == "genes" and run[1] in BASELINES) or run in FEW]
    plant(tmp_path, runs=runs)
    folder = tmp_path / "genes"
    for name in ("metrics.tsv", "profiles.h5ad", "predictions.h5ad"):
        copy = (folder / "line_mean" / "seed0" / name).read_bytes()
        (folder / "knn" / "seed0" / name).write_bytes(copy)
    compared(tmp_path, runs)
    results = gather(tmp_path, runs, SETTINGS)
    split = results.splits["genes"]
    assert split.twins == {"knn": "line_mean"}
    table = scores.comparison(results, split, ["pearson_delta"], "all")
    rows = {row[0].text: row[0].small for row in table.rows}
    assert "knn" not in rows and rows["line_mean"] == "baseline; the same predictions: knn"
    assert "knn" not in {view.name for view in sections.main_arms(results, split)}
    assert {"knn", "line_mean"} <= {c.against for c in split.claims.contrasts}


def test_every_arm_has_a_look_of_its_own(root):
    names = [path.stem for path in (root / "src/ptrag/arms/catalogue").glob("[a-z]*.py")]
    looks = [view.look for view in report_arms.arm_views({name: [0] for name in names}).values()]
    assert len({(look.colour, look.marker, look.hollow) for look in looks}) == len(names)
    signs = sections.legend(list(report_arms.arm_views({name: [0] for name in names}).values()))
    assert all(entry["sign"] and entry["colour"].startswith("var(--") for entry in signs)


def test_names_are_escaped(html, hostile):
    for page in (html, hostile):
        assert HOSTILE not in page
        assert "&lt;script&gt;alert" in page
        assert page.count("<script>") == 1


def test_the_same_results_give_the_same_bytes(tmp_path):
    first = written(tmp_path, runs=FEW)
    write_report(tmp_path, FEW, SETTINGS, tmp_path / "again.html", DATE)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == first
    assert str(tmp_path) not in first


def test_a_missing_file_is_one_line_and_leaves_no_report(tmp_path):
    settings = plant(tmp_path, runs=FEW)
    (tmp_path / "genes" / "ptrag" / "seed1" / "metrics.tsv").unlink()
    with pytest.raises(PtragError, match=r"seed1/metrics\.tsv: no such file"):
        write_report(tmp_path, FEW, settings, tmp_path / "report.html", DATE)
    assert not list(tmp_path.glob("*report.html*"))


def test_only_baselines_make_a_report_too(tmp_path):
    runs = [run for run in RUNS if run[0] == "hepg2" and run[1] in BASELINES]
    words = Page(written(tmp_path, runs=runs)).words
    assert "Nothing to compare" in words
    assert "No arm was trained on hepg2" in words
    assert "No arm that retrieves was run on hepg2" not in words  # knn does


def test_kinds_of_arms(results):
    kinds = {name: view.kind for name, view in results.arms.items()}
    assert {arm for arm, kind in kinds.items() if kind == "baseline"} == set(BASELINES)
    assert {arm for arm, kind in kinds.items() if kind == "model"} == set(MODELS)
    assert {arm for arm, kind in kinds.items() if kind == "negative control"} == set(CONTROLS)
    assert {arm for arm, kind in kinds.items() if kind == "ceiling"} == {"oracle", "split_half"}


def test_coefficients_and_notes_of_closed_forms_are_shown(results, page):
    """A coefficient may be negative or above 1; a pair may have a note and no candidate."""
    evidence = results.splits["genes"].evidence
    gate = evidence.loc[evidence["arm"] == "response_expert", "gate"]
    assert gate.min() < 0 and gate.max() > 1
    assert not evidence["candidate"].isna().any()
    notes = results.splits["genes"].notes
    its = notes[notes["arm"] == "response_expert"]
    assert set(its["note"]) == {"few neighbours", "no text: line mean"}
    assert "few neighbours" in page.words and "no text: line mean" in page.words
    assert "coefficient ω" in page.words


def test_every_metric_is_somewhere_and_few_are_open(results, html):
    for metric in SOME:
        assert METRICS[metric].label in html
    assert shown_metrics(results) == ["pearson_delta", "mse", "pds_cosine", "energy"]


def test_values_on_the_scale_carry_their_interval(results, page):
    scores = results.splits["genes"].claims.scores
    row = scores[scores["metric"] == "pearson_delta"].set_index("arm").loc["response_rag"]
    scaled, low, high = (number(row[key], 2) for key in ("scaled", "scaled_low", "scaled_high"))
    shown = f"{row['mean']:.3f} best [{row['low']:.3f}, {row['high']:.3f}] {scaled} [{low}, {high}]"
    assert shown in page.words


def test_a_metric_that_cannot_be_trusted_is_grey_and_named(tmp_path):
    plant(tmp_path, runs=FEW, metrics=("pearson_delta", "mse", "energy"))
    for run in FEW:
        path = tmp_path / Run(*run).path / "metrics.tsv"
        table = read_table(path)
        worse = 2 * table["floor"]  # of halves: at full size no better than the floor
        table["ceiling"] = table["ceiling"].mask(table["metric"] == "mse", worse)
        write_table(table, path)
    compared(tmp_path, FEW)
    write_report(tmp_path, FEW, SETTINGS, tmp_path / "report.html", DATE)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No claim rests on MSE: on these pairs" in Page(html).words
    assert "MSE\N{NO-BREAK SPACE}↓ (not trusted here)" in html
    assert html.count('class="n untrusted"') + html.count('class="n bar untrusted"') > 3


def test_methods_say_what_each_bundle_says(page):
    """The paper's arms take their last weights, the others the best checkpoint."""
    start = page.words.rindex("Training")
    text = page.words[start : page.words.index("Prediction", start)]
    arms = ["state_genept", "ptrag and ptrag@shuffled", "response_rag and response_rag@shuffled"]
    parts = [text[text.index(f"{names}: backbone of") :] for names in arms]
    best, last, expert = (part.partition("Seeds:")[0] for part in parts)
    assert "with the best validation energy are used (steps 18 to 19)" in best
    assert "the last weights are used, whatever their validation, as published" in last
    assert "a checkpoint replaces the expert alone only where its gain" in expert


def test_deltas_come_from_the_two_halves_of_the_controls(tmp_path):
    """A value planted in the yardstick controls moves observed deltas alone."""
    plant(tmp_path, runs=FEW)
    results = gather(tmp_path, FEW, SETTINGS)
    store, pair = results.store, Pair(*results.splits["genes"].pairs.index[0])
    before = store.observed_delta(*pair), predicted_deltas(results, "genes", [pair], ["ptrag"])
    rows = store.control_rows(pair.cell_line, YARDSTICK)
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        file["X"][rows, 0] += 1
    store = results.store
    after = store.observed_delta(*pair), predicted_deltas(results, "genes", [pair], ["ptrag"])
    assert (after[0] - before[0])[0] == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose((after[0] - before[0])[1:], 0, atol=1e-6)
    np.testing.assert_array_equal(after[1]["ptrag"][pair], before[1]["ptrag"][pair])
    profiles = [
        anndata.read_h5ad(tmp_path / "genes" / "ptrag" / f"seed{seed}" / "profiles.h5ad")
        for seed in (1, 2)
    ]
    row = [(profile.obs[PAIR] == pair).all(axis=1).to_numpy() for profile in profiles]
    deltas = [p.layers["delta"][r][0] for p, r in zip(profiles, row, strict=True)]
    np.testing.assert_allclose(after[1]["ptrag"][pair], np.mean(deltas, axis=0))


def test_numbers_as_people_read_them():
    assert number(-0.01234) == "−0.0123"
    assert number(0.5, 2, sign=True) == "+0.50"
    assert number(-0.0001, 2) == "0.00"
    assert number(float("nan")) == "–"
    assert number(12345.6, 0) == "12 346"
    assert decimals([0.4, 0.1]) == 3 and decimals([646.1]) == 0 and decimals([]) == 2
    assert rough(0.01234) == "0.012" and rough(3.2e-9) == "3.2e−09" and rough(float("inf")) == "–"
    assert p_value(0.0001) == "< 0.001" and p_value(0.5) == "= 0.50"
    assert listed(["a", "b", "c"]) == "a, b and c" and listed([]) == ""


def test_settings_stand_in_the_methods(page):
    for words in ("at most K = 4", "2 sets × 8 cells", "200 resamples", "fewer than 5 cells"):
        assert words in page.words
    assert json.dumps(SETTINGS["training"]["max_steps"]) in page.words


def test_methods_count_the_perturbed_genes_that_were_not_measured():
    evaluation = {"exclude_target": True}
    say = methods._targets
    assert "all of which were measured" in say(evaluation, {"targets": 7, "measured_targets": 7})
    text = say(evaluation, {"targets": 7, "measured_targets": 3})
    assert text.startswith("3 of the 7 perturbed genes were measured and are left out")
    assert "kept in" in say({"exclude_target": False}, {})
