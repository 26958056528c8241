"""The report on a small results folder with planted values: no model ran for it.

The planted arms are of every kind: simple baselines, models, negative controls, ceilings; the
planted metrics are all that the workflow writes.
"""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import anndata
import numpy as np
import pandas as pd
import pytest

from ptrag.cells.store import CellStore, write_store
from ptrag.compare import compare
from ptrag.errors import PtragError
from ptrag.files import write_json, write_table
from ptrag.metrics import METRICS
from ptrag.models.registry import load_arm
from ptrag.report import arms as report_arms
from ptrag.report import write_report
from ptrag.report.gather import gather
from ptrag.report.numbers import decimals, listed, number, p_value
from ptrag.report.page import SECTIONS
from ptrag.report.verdict import bar, headline, headline_metrics, verdict
from ptrag.splits import draw_split, write_split

LINES = ["k562", "hepg2", "rpe1"]
GENES = [f"GENE{i}" for i in range(36)]
HOSTILE = "<script>alert('x')</script>"
PERTURBATIONS = [*(f"PERT{i}" for i in range(23)), HOSTILE]
# What each arm scores in a metric from 0 to 1; models have the planted lead on top.
BASELINES = {"control": 0.0, "perturbation_mean": 0.4, "line_mean": 0.25, "knn": 0.3}
MODELS = {"state_genept": -0.05, "ptrag": -0.02, "response_expert": -0.01, "response_rag": 0.0}
CONTROLS = {"knn@shuffled": 0.2, "ptrag@shuffled": 0.37, "response_rag@shuffled": 0.26}
LEVELS = BASELINES | MODELS | CONTROLS | {"oracle": 0.8}
NEURAL = ("state_genept", "ptrag", "ptrag@shuffled", "response_rag", "response_rag@shuffled")
RETRIEVE = ("knn", "ptrag", "response")
MAIN = ("pearson_delta", "energy")  # enough for a verdict
SOME = (*MAIN, "pearson_delta_split", "mse", "pds_l1", "deg_recall", "mse_cells", "w2_halved")
SETTINGS = {
    "dataset": "planted",
    "arms": [*LEVELS, "split_half"],
    "seeds": [1, 2],
    "cells": {"genes": "controls", "n_genes": 36, "min_cells": 5},
    "embedding": "text",
    "embeddings": {"missing": "drop"},
    "model": {"hidden": 8, "layers": 1, "heads": 1, "head_size": 8, "feed_forward": 8,
              "causal": True, "dropout": 0.1, "frozen_backbone": False},
    "training": {"sets": 2, "set_size": 8, "max_steps": 20, "learning_rate": 0.001,
                 "gradient_clip": 10.0, "validate_every": 5, "monitor": "energy",
                 "schedule": "constant"},
    "prediction": {"cells_per_pair": 6},
    "evaluation": {"exclude_target": True, "n_pcs": 5, "deg_test": "welch", "deg_alpha": 0.05,
                   "max_degs": 10, "coverage": 0.9,
                   "bootstrap": 200, "confidence": 0.95},
    "arm_options": {
        name: {"rag": name.startswith(RETRIEVE), "use_genept": name in NEURAL, "topk_rag": 4}
        for name in LEVELS
    },
    "source": {"scale": "counts"},
}  # fmt: skip
SPLITS = ("hepg2", "genes")
RUNS = [
    (split, arm, seed)
    for split in SPLITS
    for arm in LEVELS
    for seed in ([1, 2] if arm in NEURAL else [0])
]


FEW = [run for run in RUNS if run[0] == "genes" and run[1] in ("control", "line_mean", "ptrag")]


def plant(home, *, lead=0.1, simulated=True, dataset="planted", runs=RUNS, metrics=MAIN):
    """Write a results folder in which the best model leads the best baseline by ``lead``."""
    rng = np.random.default_rng(5)
    obs = pd.DataFrame(
        [(line, p) for line in LINES for p in ["control", *PERTURBATIONS] for _ in range(8)],
        columns=["cell_line", "perturbation"],
    )
    shift = {p: rng.normal(0, 0.5, len(GENES)) for p in PERTURBATIONS} | {"control": 0.0}
    X = np.stack([2 + shift[p] + rng.normal(0, 0.3, len(GENES)) for p in obs["perturbation"]])
    write_store(home / "cells.h5ad", np.maximum(X, 0), obs, GENES, simulated=simulated)
    store = CellStore(home / "cells.h5ad")
    for split in dict.fromkeys(run[0] for run in runs):
        its_runs = [run for run in runs if run[0] == split]
        _plant_split(home, store, split, its_runs, metrics, lead, rng)
    _plant_embeddings(home)
    compare(
        [(*run, home / run[0] / run[1] / f"seed{run[2]}" / "metrics.tsv") for run in runs],
        SETTINGS["evaluation"], home / "comparison.tsv", home / "contrasts.tsv", split_half=True,
    )  # fmt: skip
    return SETTINGS | {"dataset": dataset}


def _plant_embeddings(home):
    level = ["exact"] * 22 + ["alias", "dropped"]
    table = pd.DataFrame({"perturbation": PERTURBATIONS, "level": level, "detail": ""})
    for name in ("text", "text@shuffled"):
        write_table(table, home / "embeddings" / f"{name}.coverage.tsv")


def _plant_split(home, store, name, runs, metrics, lead, rng):
    spec = {"protocol": "unseen_perturbation", "fractions": {"val": 0.1, "test": 0.4}, "seed": 1}
    if name == "hepg2":
        spec |= {"protocol": "unseen_combination", "target": "hepg2"}
    table = draw_split(store, spec, 5, name)
    write_split(table, spec, home / name / "split.tsv")
    pairs = table.loc[table["role"].isin(["val", "test"]), ["cell_line", "perturbation", "role"]]
    for embedding in ("text", "text@shuffled"):
        _plant_index(home / name / "index" / embedding, rng)
    for split, arm, seed in runs:
        folder = home / split / arm / f"seed{seed}"
        _plant_metrics(folder / "metrics.tsv", pairs, arm, metrics, lead, rng)
        _plant_predictions(folder / "predictions.h5ad", store, pairs, rng)
        _plant_evidence(folder / "evidence.tsv", pairs, arm, rng)
        _plant_intervals(folder / "conformal.tsv", pairs, arm, rng)
        if arm in NEURAL:
            _plant_history(folder / "history.tsv")


def _plant_index(folder, rng):
    near = [
        (p, rank, q, 0.9 - 0.1 * rank + rng.uniform(0, 0.05))
        for p in PERTURBATIONS
        for rank, q in enumerate([q for q in PERTURBATIONS if q != p][:4], start=1)
    ]
    columns = ["perturbation", "rank", "neighbour", "similarity"]
    write_table(pd.DataFrame(near, columns=columns), folder / "neighbours.tsv")
    facts = {"pairs": 3, "pairs_sha256": "0" * 64, "perturbations": 2}
    role = facts | {"perturbations_sha256": "1" * 64}
    write_json(
        {
            "roles": {"train": role, "test": role},
            "indexed": {"n": 20, "sha256": "2" * 64, "keys": []},
            "checks": [{"check": "control is not indexed", "passed": True, "offenders": []}],
        },
        folder / "audit.json",
    )


def _plant_metrics(path, pairs, arm, metrics, lead, rng):
    """Scores on a wave over the pairs; every fifth pair has no room, the fourth no ceiling."""
    level = LEVELS[arm] + (0.4 + lead if arm in MODELS else 0)
    rows = []
    for at, pair in enumerate(pairs.itertuples(index=False)):
        score = level + 0.1 * np.sin(at) + rng.normal(0, 0.01)
        bounds = 0.25 + 0.1 * np.sin(at), np.nan if at == 3 else 0.1 if at % 5 == 1 else 0.9
        for metric in metrics:
            values = (score, *bounds)
            if not METRICS[metric].higher:
                values = [3 - 2 * value for value in values]
            rows.append((*pair, metric, *values))
    columns = [*pairs.columns, "metric", "value", "floor", "ceiling"]
    write_table(pd.DataFrame(rows, columns=columns).assign(n_real=8, n_predicted=6), path)


def _plant_history(path):
    steps = [(s, w, m, 2 / (1 + s)) for s in range(0, 20, 5)
             for w, m in (("train", "loss"), ("val", "energy"), ("val", "gate"))]  # fmt: skip
    write_table(pd.DataFrame(steps, columns=["step", "split", "metric", "value"]), path)


def _plant_predictions(path, store, pairs, rng):
    obs = pairs[["cell_line", "perturbation"]].loc[np.repeat(pairs.index, 6)]
    obs.index = [str(i) for i in range(len(obs))]
    X = rng.uniform(1, 3, (len(obs), store.n_genes)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=store.genes)).write_h5ad(path)


def _plant_evidence(path, pairs, arm, rng):
    """Gates of genes, or coefficients of responses with a note (one pair: nothing but it)."""
    columns = ["cell_line", "perturbation", "candidate", "rank", "similarity", "gate", "effect"]
    weighs = arm.startswith("response")
    alone = pairs[pairs["role"] == "test"].iloc[[0], :2]
    rows = [
        (*pair[:2], f"{q} in k562" if weighs else q, rank, 1 - rank / 9,
         rng.normal(0, 1.5) if weighs else rng.uniform(), rng.exponential())
        for pair in pairs.drop(alone.index if weighs else []).itertuples(index=False)
        for rank, q in enumerate([p for p in PERTURBATIONS if p != pair[1]][:4], start=1)
    ]  # fmt: skip
    table = pd.DataFrame(rows if arm.startswith(RETRIEVE) else [], columns=columns)
    if weighs:
        table = pd.concat([table, alone], ignore_index=True)
        table["note"] = ["few neighbours"] * len(rows) + ["no text: line mean"]
    write_table(table, path)


def _plant_intervals(path, pairs, arm, rng):
    """Coverage of 0.9 on average; support for what retrieves."""
    n = len(pairs)
    table = pairs.assign(
        n_cells=8, coverage=0.9 + 0.05 * np.sin(np.arange(n)), coverage_degs=0.8, width=1.5,
        support=rng.uniform(size=n) if arm.startswith(RETRIEVE) else np.nan,
    )  # fmt: skip
    write_table(table, path)


class Page(HTMLParser):
    """What the tests ask of the page: ids, references, text, nesting."""

    VOID = ("meta", "link", "br", "img", "path", "use", "image", "rect")

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.ids, self.references, self.tags, self.open, self.text = [], [], [], [], []
        self.images_without_alt = self.tables_without_caption = 0
        self.captions = self.tables = 0
        self.feed(html)
        self.words = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        for key in ("src", "href", "xlink:href", "action", "poster", "srcset"):
            if key in attributes:
                self.references.append(attributes[key])
        if tag == "svg" and not attributes.get("aria-label"):
            self.images_without_alt += 1
        self.tables += tag == "table"
        self.captions += tag == "caption"

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def written(home, runs=RUNS, **plan):
    settings = plant(home, runs=runs, **plan)
    write_report(home, runs, settings, home / "report.html")
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
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("no chromium")
    measure = """<script>onload = () => {
      const page = document.querySelector("iframe").contentDocument;
      document.title = [page.documentElement.scrollWidth,
        page.querySelectorAll("th button").length].join(" ");
    }</script>"""
    shutil.copy(home / "report.html", tmp_path / "report.html")
    frame = f'<iframe src="report.html" style="width:{width}px;height:900px;border:0"></iframe>'
    (tmp_path / "frame.html").write_text(f"<title></title>{frame}{measure}")
    ran = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", "--hide-scrollbars", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=10000", "--dump-dom",
         (tmp_path / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in ran.stderr
    widest, buttons = map(int, re.search(r"<title>(\d+) (\d+)", ran.stdout).groups())
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
    assert page.words.index("SIMULATED DATA") < page.words.index("beats the best simple baseline")
    assert "planted (simulated): A model beats" in page.words
    assert "<title>ptrag: planted (simulated)</title>" in html
    figures = html.split("<figcaption>")[1:]
    captions = html.split("<caption>")[1:]
    assert all("Simulated." in shown[:60] for shown in figures + captions)


def test_real_cells_are_not_called_simulated(hostile):
    assert "imulated" not in Page(hostile).words


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


def test_the_verdict_comes_first(page):
    sections = [page.words.rindex(title) for title in ("Verdict", "What was run")]
    assert sections[0] < page.words.index("A model beats the best simple baseline")
    assert page.words.index("A model beats the best simple baseline") < sections[1]


def test_the_verdict_carries_difference_interval_and_p(home, page):
    rows = pd.read_csv(home / "contrasts.tsv", sep="\t")
    row = rows.query(
        "split == 'hepg2' and metric == 'pearson_delta' and arm == 'response_rag' "
        "and against == 'perturbation_mean'"
    ).iloc[0]
    shown = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    start = page.words.index("On hepg2 (unseen combinations, target line hepg2)")
    assert shown in page.words[start : start + 400]


def test_names_are_escaped(html, hostile):
    for page in (html, hostile):
        assert HOSTILE not in page
        assert "&lt;script&gt;alert" in page
        assert page.count("<script>") == 1


def test_the_same_results_give_the_same_bytes(tmp_path):
    first = written(tmp_path, runs=FEW)
    write_report(tmp_path, FEW, SETTINGS, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == first
    assert str(tmp_path) not in first


def test_a_missing_file_is_one_line_and_leaves_no_report(tmp_path):
    settings = plant(tmp_path, runs=FEW)
    (tmp_path / "genes" / "ptrag" / "seed1" / "metrics.tsv").unlink()
    with pytest.raises(PtragError, match=r"seed1/metrics\.tsv: no such file"):
        write_report(tmp_path, FEW, settings, tmp_path / "report.html")
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
    assert headline_metrics(results) == ["pearson_delta", "mse", "energy", "pds_l1"]


def test_scaled_values_and_pairs_without_scale(results, page):
    rows = results.comparison.query(
        "split == 'genes' and role == 'test' and metric == 'pearson_delta'"
    ).set_index("arm")
    shown = number(rows.loc["response_rag", "scaled"], 2)
    row = rows.loc["response_rag"]
    assert f"{row['mean']:.3f} best [{row['low']:.3f}, {row['high']:.3f}] {shown}" in page.words
    assert f"{row['n_unscaled']} of {row['n_unscaled'] + row['n_scaled']}" in page.words
    assert row["n_unscaled"] > 0


def test_numbers_as_people_read_them():
    assert number(-0.01234) == "−0.0123"
    assert number(0.5, 2, sign=True) == "+0.50"
    assert number(-0.0001, 2) == "0.00"
    assert number(float("nan")) == "–"
    assert number(12345.6, 0) == "12 346"
    assert decimals([0.4, 0.1]) == 3 and decimals([646.1]) == 0 and decimals([]) == 2
    assert p_value(0.0001) == "< 0.001" and p_value(0.5) == "= 0.50"
    assert listed(["a", "b", "c"]) == "a, b and c" and listed([]) == ""


def test_settings_stand_in_the_methods(page):
    for words in ("at most K = 4", "2 sets × 8 cells", "200 resamples", "fewer than 5 cells"):
        assert words in page.words
    assert json.dumps(SETTINGS["training"]["max_steps"]) in page.words
