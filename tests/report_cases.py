"""A small results folder with planted values, and what tests ask of its report.

The planted arms are of every kind: simple baselines, models, negative controls, ceilings; the
planted metrics are all that the workflow writes. No model ran for it.
"""

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from stores import write_store

from ptrag.base.files import write_json, write_table
from ptrag.base.names import Run
from ptrag.cells.controls import YARDSTICK
from ptrag.cells.store import CellStore
from ptrag.comparison.compare import SplitTables, compare
from ptrag.metrics.registry import METRICS
from ptrag.splits.protocols import draw_split, write_split

DATE = "1 February 2030, 12:34 UTC"
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
SOME = (*MAIN, "mse", "pds_cosine", "deg_recall", "mse_cells", "w2_halved")
SETTINGS = {
    "dataset": "planted",
    "arms": [*LEVELS, "split_half"],
    "seeds": [1, 2],
    "cells": {"genes": "controls", "n_genes": 36, "min_cells": 5},
    "embedding": "text",
    "embeddings": {"missing": "drop"},
    "model": {"hidden": 8, "layers": 1, "heads": 1, "head_size": 8, "feed_forward": 8,
              "causal": True, "dropout": 0.1, "vector_noise": 0.0,
              "frozen_backbone": False},
    "training": {"sets": 2, "set_size": 8, "max_steps": 20, "learning_rate": 0.001,
                 "gradient_clip": 10.0, "validate_every": 5, "monitor": "energy",
                 "averaging": 0.9},
    "prediction": {"cells_per_pair": 6},
    "evaluation": {"exclude_target": True, "n_pcs": 5, "deg_test": "welch", "deg_alpha": 0.05,
                   "max_degs": 10, "coverage": 0.9,
                   "bootstrap": 200, "confidence": 0.95,
                   "primary": ["pearson_delta", "mse", "pds_cosine", "energy"],
                   "contrasts": [["models", "baselines"], ["models", "controls"]]},
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


def plant(
    home, *, lead=0.1, simulated=True, dataset="planted", runs=RUNS, metrics=MAIN, levels=LEVELS
):
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
    levels = {arm: level + (0.4 + lead if arm in MODELS else 0) for arm, level in levels.items()}
    for split in dict.fromkeys(run[0] for run in runs):
        of_split = [run for run in runs if run[0] == split]
        _plant_split(home, store, split, of_split, metrics, levels, rng)
    _plant_embeddings(home)
    compared(home, runs)
    return SETTINGS | {"dataset": dataset}


def compared(home, runs=RUNS):
    """Compare the planted runs."""
    folders = {run: home / Run(*run).path for run in runs}
    compare(
        [(*run, folder / "metrics.tsv") for run, folder in folders.items()],
        [
            (*run[:2], "energy", folder / "history.tsv")
            for run, folder in folders.items() if run[1] in NEURAL
        ],
        SETTINGS["evaluation"], *(home / f"{name}.tsv" for name in SplitTables._fields),
        split_half=True,
    )  # fmt: skip


def _plant_embeddings(home):
    level = ["exact"] * (len(PERTURBATIONS) - 2) + ["alias", "dropped"]
    table = pd.DataFrame({"perturbation": PERTURBATIONS, "level": level, "detail": ""})
    for name in ("text", "text@shuffled"):
        write_table(table, home / "embeddings" / f"{name}.coverage.tsv")


def _plant_split(home, store, name, runs, metrics, levels, rng):
    spec = {"protocol": "unseen_perturbation", "fractions": {"val": 0.1, "test": 0.4}, "seed": 1}
    if name in LINES:
        spec |= {"protocol": "unseen_combination", "target": name}
    table = draw_split(store, spec, {"min_cells": 5, "min_controls": 2}, name)
    write_split(table, spec, home / name / "split.tsv")
    pairs = table.loc[table["role"].isin(["val", "test"]), ["cell_line", "perturbation", "role"]]
    for embedding in ("text", "text@shuffled"):
        _plant_index(home / name / "index" / embedding, rng)
    _plant_reference(home / name / "reference.h5", store, pairs)
    for split, arm, seed in runs:
        folder = home / split / arm / f"seed{seed}"
        _plant_metrics(folder / "metrics.tsv", pairs, levels[arm], metrics, rng)
        _plant_profiles(folder / "profiles.h5ad", store, pairs, rng)
        _plant_cells(folder / "predictions.h5ad", store, pairs)
        _plant_deltas(folder / "intervals.h5ad", folder / "profiles.h5ad", store, pairs)
        _plant_evidence(folder / "evidence.tsv", pairs, arm, rng)
        _plant_intervals(folder / "conformal.tsv", pairs, arm, rng)
        if arm in NEURAL:
            plant_history(folder / "history.tsv")
            plant_bundle(folder / "bundle" / "bundle.json", arm, seed, 20 - seed)


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


def _plant_metrics(path, pairs, level, metrics, rng):
    """Scores on a wave over the pairs; every fifth pair has no room, the fourth no ceiling."""
    rows = []
    for at, pair in enumerate(pairs.itertuples(index=False)):
        score = level + 0.1 * np.sin(at) + rng.normal(0, 0.01)
        ends = 0.25 + 0.1 * np.sin(at), np.nan if at == 3 else 0.1 if at % 5 == 1 else 0.9
        for metric in metrics:
            values = (score, *ends)
            if not METRICS[metric].higher:
                values = [3 - 2 * value for value in values]
            rows.append((*pair, metric, *values))
    columns = [*pairs.columns, "metric", "value", "floor", "ceiling"]
    table = pd.DataFrame(rows, columns=columns).assign(n_real=8, n_predicted=6)
    table["strength"] = table["perturbation"].map({p: i / 4 for i, p in enumerate(PERTURBATIONS)})
    write_table(table, path)


def plant_history(path, improving=False, losses=None):
    """Write a loss that reached its plateau at step 4, or falls by as much at every step."""
    if losses is None:
        losses = [1 - step / 20 if improving else max(0.5, 1 - step / 8) for step in range(20)]
    kinds = ("train", "loss"), ("val", "energy"), ("val", "gate")
    steps = [(step, *kind, loss) for step, loss in enumerate(losses) for kind in kinds]
    write_table(pd.DataFrame(steps, columns=["step", "split", "metric", "value"]), path)
    seconds = [(step, 90.0 * step) for step in range(len(losses))]
    write_table(pd.DataFrame(seconds, columns=["step", "seconds"]), path.parent / "seconds.tsv")


def plant_bundle(path, arm, seed, step):
    """Write what a bundle says: the paper's arm takes its last weights."""
    training = SETTINGS["training"] | {"published": arm.startswith("ptrag")}
    about = {"arm": arm, "seed": seed, "model": SETTINGS["model"], "training": training}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(about | {"step": step, "validation": {"energy": 0.5}}, path)


def _plant_profiles(path, store, pairs, rng):
    obs = pairs[["cell_line", "perturbation"]].copy()
    obs.index = [str(i) for i in range(len(obs))]
    X = rng.uniform(1, 3, (len(obs), store.n_genes))
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = {"delta": rng.normal(size=X.shape)}
    genes = pd.DataFrame(index=store.genes)
    anndata.AnnData(X, obs=obs, var=genes, layers=layers).write_h5ad(path)


def _plant_cells(path, store, pairs, n=6):
    rng = np.random.default_rng(6)
    obs = pairs[["cell_line", "perturbation"]].loc[pairs.index.repeat(n)].reset_index(drop=True)
    X = rng.uniform(0, 3, (len(obs), store.n_genes)).astype(np.float32)
    obs.index = obs.index.astype(str)
    data = anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=store.genes))
    data.uns["scale"] = store.scale
    data.write_h5ad(path)


def _plant_deltas(path, profiles, store, pairs):
    """Write the predicted delta of each pair, its half-width (a third of it), and the real one."""
    data = anndata.read_h5ad(profiles)
    keys = list(pairs[["cell_line", "perturbation"]].itertuples(index=False, name=None))
    predicted = data.layers["delta"]
    observed = [store.mean(*key) - store.control_mean(key[0], YARDSTICK) for key in keys]
    layers = {"observed": np.array(observed), "half_width": np.abs(predicted) / 3}
    anndata.AnnData(predicted, obs=data.obs, var=data.var, layers=layers).write_h5ad(path)


def _plant_reference(path, store, pairs):
    """Write the part of the reference that the report reads: components, and p of every gene."""
    rng = np.random.default_rng(7)
    with h5py.File(path, "w") as file:
        file["pca/mean"] = np.full(store.n_genes, 2.0)
        file["pca/components"] = np.linalg.qr(rng.normal(size=(store.n_genes, 5)))[0].T
        file["pairs/p"] = rng.uniform(size=(len(pairs), store.n_genes))
        for key in ("cell_line", "perturbation"):
            file.create_dataset(f"pairs/{key}", data=pairs[key].tolist(), dtype=h5py.string_dtype())


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


def browsed(report, folder, width, script):
    """Open a report in Chromium, run a script on it, and return the title that the script sets.

    The report stands in a frame as wide as the screen, since a headless window has a least width;
    ``page`` is its document. Anything in the console is an error.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("no chromium")
    start = 'const page = document.querySelector("iframe").contentDocument;'
    run = f"<script>onload = () => {{ {start} {script} }}</script>"
    shutil.copy(report, folder / "report.html")
    frame = f'<iframe src="report.html" style="width:{width}px;height:900px;border:0"></iframe>'
    (folder / "frame.html").write_text(f"<title></title>{frame}{run}")
    ran = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", "--hide-scrollbars", "--enable-logging=stderr",
         f"--user-data-dir={folder / 'browser'}", "--virtual-time-budget=10000", "--dump-dom",
         (folder / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in ran.stderr
    return html.unescape(re.search(r"<title>([^<]*)", ran.stdout)[1])


class Page(HTMLParser):
    """What the tests ask of the page: ids, references, text, nesting."""

    VOID = ("meta", "link", "br", "img", "input", "path", "use", "image", "rect")

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.ids, self.references, self.tags, self.open, self.text = [], [], [], [], []
        self.images_without_alt = self.tables_without_caption = 0
        self.captions = self.tables = 0
        self.feed(text)
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
