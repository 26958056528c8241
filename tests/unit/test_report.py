"""The report on a small results folder with planted values: no model ran for it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import anndata
import numpy as np
import pandas as pd
import pytest

from ptrag.cells.store import CellStore, write_store
from ptrag.errors import PtragError
from ptrag.files import write_json, write_table
from ptrag.report import arms as report_arms
from ptrag.report import write_report
from ptrag.report.gather import gather
from ptrag.report.numbers import decimals, listed, number, p_value
from ptrag.report.page import SECTIONS
from ptrag.report.verdict import headline, outcome, verdict
from ptrag.splits import draw_split, write_split

LINES = ["k562", "hepg2", "rpe1"]
GENES = [f"GENE{i}" for i in range(36)]
HOSTILE = "<script>alert('x')</script>"
PERTURBATIONS = [*(f"PERT{i}" for i in range(23)), HOSTILE]
CLOSED = ["control", "perturbation_mean", "line_mean"]
NEURAL = ["state_genept", "ptrag", "ptrag@shuffled"]
METRICS = ["pearson_delta", "energy"]
SETTINGS = {
    "dataset": "planted",
    "arms": CLOSED + NEURAL,
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
                   "max_degs": 10, "bootstrap": 200, "confidence": 0.95},
    "arm_options": {
        "control": {}, "perturbation_mean": {}, "line_mean": {}, "state_genept":
        {"use_genept": True}, "ptrag": {"rag": True, "use_genept": True, "topk_rag": 4},
    },
    "source": {"scale": "counts"},
}  # fmt: skip
RUNS = [
    (split, arm, seed)
    for split in ("hepg2", "genes")
    for arm in CLOSED + NEURAL
    for seed in ([1, 2] if arm in NEURAL else [0])
]


def plant(home, *, lead=0.1, simulated=True, dataset="planted"):
    """Write a results folder in which ``ptrag`` leads the best baseline by ``lead``."""
    rng = np.random.default_rng(5)
    obs = pd.DataFrame(
        [(line, p) for line in LINES for p in ["control", *PERTURBATIONS] for _ in range(8)],
        columns=["cell_line", "perturbation"],
    )
    shift = {p: rng.normal(0, 0.5, len(GENES)) for p in PERTURBATIONS} | {"control": 0.0}
    X = np.stack([2 + shift[p] + rng.normal(0, 0.3, len(GENES)) for p in obs["perturbation"]])
    write_store(home / "cells.h5ad", np.maximum(X, 0), obs, GENES, simulated=simulated)
    store = CellStore(home / "cells.h5ad")
    tables = [_plant_split(home, store, name, lead, rng) for name in ("hepg2", "genes")]
    _plant_embeddings(home)
    metrics = pd.concat(tables)
    write_table(_comparison(metrics), home / "comparison.tsv")
    write_table(_contrasts(metrics), home / "contrasts.tsv")
    return SETTINGS | {"dataset": dataset}


def _plant_embeddings(home):
    level = ["exact"] * 22 + ["alias", "dropped"]
    table = pd.DataFrame({"perturbation": PERTURBATIONS, "level": level, "detail": ""})
    for name in ("text", "text@shuffled"):
        write_table(table, home / "embeddings" / f"{name}.coverage.tsv")


def _plant_split(home, store, name, lead, rng):
    spec = {"protocol": "unseen_perturbation", "fractions": {"val": 0.1, "test": 0.4}, "seed": 1}
    if name == "hepg2":
        spec |= {"protocol": "unseen_combination", "target": "hepg2"}
    table = draw_split(store, spec, 5, name)
    write_split(table, spec, home / name / "split.tsv")
    pairs = table.loc[table["role"].isin(["val", "test"]), ["cell_line", "perturbation", "role"]]
    for embedding in ("text", "text@shuffled"):
        _plant_index(home / name / "index" / embedding, rng)
    rows = []
    for split, arm, seed in RUNS:
        if split == name:
            folder = home / name / arm / f"seed{seed}"
            rows.append(_plant_run(folder, store, pairs, arm, seed, lead, rng).assign(split=name))
    return pd.concat(rows)


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


def _plant_run(folder, store, pairs, arm, seed, lead, rng):
    level = {"control": 0.0, "perturbation_mean": 0.4, "line_mean": 0.25, "state_genept": 0.35,
             "ptrag": 0.4 + lead, "ptrag@shuffled": 0.37}[arm]  # fmt: skip
    rows = []
    for at, pair in enumerate(pairs.itertuples(index=False)):
        value = level + 0.1 * np.sin(at) + rng.normal(0, 0.01)
        for metric, score in (("pearson_delta", value), ("energy", 3 - 2 * value)):
            rows.append((*pair, metric, np.nan if level == 0 and metric != "energy" else score))
    metrics = pd.DataFrame(rows, columns=[*pairs.columns, "metric", "value"])
    write_table(metrics.assign(n_real=8, n_predicted=6), folder / "metrics.tsv")
    _plant_predictions(folder / "predictions.h5ad", store, pairs, rng)
    _plant_evidence(folder, pairs, rng, "ptrag" in arm)
    if arm in NEURAL:
        steps = [(s, w, "energy" if w == "val" else "loss", 2 / (1 + s)) for s in range(0, 20, 5)
                 for w in ("train", "val")]  # fmt: skip
        write_table(
            pd.DataFrame(steps, columns=["step", "split", "metric", "value"]),
            folder / "history.tsv",
        )
    return metrics.assign(arm=arm, seed=seed)


def _plant_predictions(path, store, pairs, rng):
    obs = pairs[["cell_line", "perturbation"]].loc[np.repeat(pairs.index, 6)]
    obs.index = [str(i) for i in range(len(obs))]
    X = rng.uniform(1, 3, (len(obs), store.n_genes)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=store.genes)).write_h5ad(path)


def _plant_evidence(folder, pairs, rng, retrieves):
    columns = ["cell_line", "perturbation", "candidate", "rank", "similarity", "gate", "effect"]
    rows = [
        (*pair[:2], q, rank, 1 - rank / 9, rng.uniform(), rng.exponential())
        for pair in pairs.itertuples(index=False)
        for rank, q in enumerate([p for p in PERTURBATIONS if p != pair[1]][:4], start=1)
    ]
    write_table(pd.DataFrame(rows if retrieves else [], columns=columns), folder / "evidence.tsv")


def _comparison(metrics):
    rows = []
    for (split, arm, metric, role), its in metrics.groupby(["split", "arm", "metric", "role"]):
        mean, wide = its["value"].mean(), 0.02
        rows.append((split, arm, "means", metric, role, len(its), its["seed"].nunique(), mean,
                     mean - wide, mean + wide))  # fmt: skip
    columns = ["split", "arm", "family", "metric", "role", "n_pairs", "n_seeds", "mean", "low",
               "high"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _contrasts(metrics):
    """Every arm against ``perturbation_mean`` and its own control; an interval of ± 0.02."""
    mean = metrics[metrics["role"] == "test"].groupby(["split", "metric", "arm"])["value"].mean()
    rows = []
    for split in ("hepg2", "genes"):
        for metric in METRICS:
            for arm, against in [*((a, "perturbation_mean") for a in [*NEURAL, "line_mean"]),
                                 ("ptrag", "ptrag@shuffled")]:  # fmt: skip
                d = mean[split, metric, arm] - mean[split, metric, against]
                p = 0.001 if abs(d) > 0.02 else 0.6
                rows.append((split, metric, arm, against, 10, d, d - 0.02, d + 0.02, p, p, 0.5))
    columns = ["split", "metric", "arm", "against", "n_pairs", "difference", "low", "high",
               "wilcoxon_p", "holm_p", "effect_size"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


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


def written(home, **plan):
    settings = plant(home, **plan)
    write_report(home, RUNS, settings, home / "report.html")
    return (home / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    written(folder)
    return folder


@pytest.fixture(scope="module")
def html(home):
    return (home / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report on real cells in which the data set and the arms have hostile words too."""
    true = report_arms.load_arm
    words = {"summary": HOSTILE, "origin": HOSTILE}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_arms, "load_arm", lambda name: replace(true(name), **words))
        return written(tmp_path_factory.mktemp("hostile"), simulated=False, dataset=HOSTILE)


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


def test_references_inside_the_page_lead_somewhere(page, html):
    targets = {ref[1:] for ref in page.references if ref.startswith("#")}
    assert targets <= set(page.ids)


def test_figures_have_words_and_tables_captions(page):
    assert page.tags.count("svg") > 20
    assert page.images_without_alt == 0
    assert page.tables == page.captions > 8


def test_simulated_is_said_first_and_in_title_and_figures(html, page):
    assert page.words.index("SIMULATED DATA") < page.words.index("beats the best simple baseline")
    assert "<title>ptrag: planted (simulated)</title>" in html
    figures = html.split("<figcaption>")[1:]
    assert all("Simulated." in figure[:60] for figure in figures)


def test_real_cells_are_not_called_simulated(hostile):
    assert "imulated" not in Page(hostile).words


@pytest.mark.parametrize(
    ("lead", "line", "kind"),
    [
        (0.1, "A trained arm beats the best simple baseline on both splits", "model"),
        (0.0, "No trained arm beats the best simple baseline on both splits", "baseline"),
        (-0.1, "A simple baseline wins on both splits: every trained arm is worse", "baseline"),
    ],
)
def test_the_verdict_follows_the_contrasts(tmp_path, lead, line, kind):
    results = gather(tmp_path, RUNS, plant(tmp_path, lead=lead))
    said, words = headline([verdict(results, split) for split in results.splits.values()])
    assert words.startswith(line)
    assert said == kind


def test_the_verdict_comes_first(page):
    sections = [page.words.rindex(title) for title in ("Verdict", "What was run")]
    assert sections[0] < page.words.index("A trained arm beats the best simple baseline")
    assert page.words.index("A trained arm beats the best simple baseline") < sections[1]


def test_the_verdict_carries_difference_interval_and_p(home, page):
    rows = pd.read_csv(home / "contrasts.tsv", sep="\t")
    row = rows.query(
        "split == 'hepg2' and metric == 'pearson_delta' and arm == 'ptrag' "
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


def test_the_same_results_give_the_same_bytes(tmp_path, home, html):
    write_report(home, RUNS, SETTINGS, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_a_missing_file_is_one_line_and_leaves_no_report(tmp_path):
    settings = plant(tmp_path)
    (tmp_path / "hepg2" / "ptrag" / "seed1" / "metrics.tsv").unlink()
    with pytest.raises(PtragError, match=r"seed1/metrics\.tsv: no such file"):
        write_report(tmp_path, RUNS, settings, tmp_path / "report.html")
    assert not list(tmp_path.glob("*report.html*"))


def test_only_baselines_make_a_report_too(tmp_path):
    settings = plant(tmp_path)
    runs = [run for run in RUNS if run[1] in CLOSED]
    write_report(tmp_path, runs, settings, tmp_path / "report.html")
    words = Page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    assert "Nothing to compare" in words
    assert "No arm was trained on hepg2" in words


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "higher", "said"),
    [
        (0.1, 0.05, 0.2, 0.01, True, "better"),
        (0.1, 0.05, 0.2, 0.01, False, "worse"),
        (-0.1, -0.2, -0.05, 0.01, True, "worse"),
        (-0.1, -0.2, -0.05, 0.01, False, "better"),
        (0.1, -0.05, 0.2, 0.01, True, "undecided"),
        (0.1, 0.05, 0.2, 0.06, True, "undecided"),
        (0.1, 0.05, 0.2, float("nan"), True, "undecided"),
    ],
)
def test_a_claim_needs_interval_and_p(difference, low, high, p, higher, said):
    assert outcome(difference, low, high, p, higher, 0.05) == said


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
