"""Given and yardstick controls: how they are dealt, and who sees the yardsticks."""

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from response_cases import draw_embedding
from stores import write_store
from training_cases import make_job

from ptrag.base.errors import PtragError
from ptrag.cells.controls import GIVEN, YARDSTICK, deal_controls
from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding, write_embedding
from ptrag.prediction.files import PredictionFiles
from ptrag.prediction.fit_split import ClosedFormJob, predict_closed_forms
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.pairs import predict_with_network
from ptrag.retrieval.index import build_index
from ptrag.splits.protocols import draw_split, read_split, write_split
from ptrag.training.run import train

SPEC = {
    "columns": {"perturbation": "gene", "cell_line": "line", "batch": "batch"},
    "control": "control", "scale": "log1p", "simulated": True,
}  # fmt: skip
SPLIT = {
    "protocol": "unseen_combination", "target": "b", "fractions": {"val": 0.2, "test": 0.4},
    "seed": 1,
}  # fmt: skip
OPTIONS = {"rag": True, "use_genept": True, "topk_rag": 3, "truth": None}


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_each_batch_has_its_share_to_within_one_cell(sizes, share, seed):
    """Against counting by hand; perturbed cells have no part."""
    batch = np.repeat([f"b{i}" for i in range(len(sizes))], sizes)
    obs = pd.DataFrame({"cell_line": "l", "perturbation": "control", "batch": batch})
    treated = pd.DataFrame({"cell_line": "l", "perturbation": "P", "batch": ["b0"] * 5})
    obs = pd.concat([obs, treated]).sample(frac=1, random_state=seed)
    parts = deal_controls(obs, share)
    assert set(parts[(obs["perturbation"] == "P").to_numpy()]) == {""}
    assert (parts == YARDSTICK).sum() == int(np.floor(sum(sizes) * share + 1e-9))
    for name, size in zip(dict.fromkeys(batch), sizes, strict=True):
        here = ((obs["batch"] == name) & (obs["perturbation"] == "control")).to_numpy()
        assert abs((parts[here] == YARDSTICK).sum() - size * share) <= 1
        assert set(parts[here]) <= {GIVEN, YARDSTICK}


def test_a_line_is_dealt_whatever_other_lines_there_are():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"cell_line": rng.choice(["a", "b"], 60), "perturbation": "control"})
    alone = obs[obs["cell_line"] == "a"]
    together = deal_controls(obs)[(obs["cell_line"] == "a").to_numpy()]
    assert list(together) == list(deal_controls(alone))


def test_both_halves_are_samples_of_the_same_cells():
    """Over many lines the halves' means differ by sampling alone."""
    rng = np.random.default_rng(0)
    z = []
    for line in range(300):
        obs = pd.DataFrame({"cell_line": f"l{line}", "perturbation": ["control"] * 40})
        values, parts = rng.normal(size=40), deal_controls(obs)
        one, other = values[parts == GIVEN], values[parts == YARDSTICK]
        z.append((one.mean() - other.mean()) / np.sqrt(1 / 20 + 1 / 20))
    assert abs(np.mean(z)) < 4 / np.sqrt(300)
    assert abs(np.std(z) - 1) < 0.17


def test_the_store_keeps_given_controls_before_yardsticks(tmp_path):
    rng = np.random.default_rng(0)
    names = rng.choice(["control", "P", "Q"], 90)
    obs = pd.DataFrame({"cell_line": rng.choice(["a", "b"], 90), "perturbation": names})
    write_store(tmp_path / "cells.h5ad", rng.random((90, 3), np.float32), obs, list("xyz"))
    store = CellStore(tmp_path / "cells.h5ad")
    for line in store.lines:
        rows = {part: store.control_rows(line, part) for part in ("given", "yardstick", "all")}
        assert rows["given"].stop == rows["yardstick"].start
        assert (rows["all"].start, rows["all"].stop) == (
            rows["given"].start, rows["yardstick"].stop,
        )  # fmt: skip
        for part in (GIVEN, YARDSTICK):
            assert set(store.obs["control_part"].iloc[rows[part]]) == {part}
            expected = np.asarray(store.X[rows[part]], np.float64).mean(axis=0)
            np.testing.assert_allclose(store.control_mean(line, part), expected)
        with pytest.raises(ValueError, match="say which"):
            store.rows(line, "control")


def test_a_line_without_yardsticks_says_so(tmp_path):
    obs = pd.DataFrame({"cell_line": "a", "perturbation": ["control", "P"]})
    write_store(tmp_path / "cells.h5ad", np.ones((2, 3), np.float32), obs, list("xyz"))
    with pytest.raises(PtragError, match="'a' has no yardstick control"):
        CellStore(tmp_path / "cells.h5ad").controls("a", YARDSTICK)


# --- nothing before evaluation sees a yardstick ---------------------------------------------------


def source(folder, planted):
    """Cells of two lines; ``planted`` gives every yardstick other values in every gene."""
    rng = np.random.default_rng(5)
    genes = [f"P{i:02d}" for i in range(12)]
    rows = [
        (line, name, f"b{i % 2}")
        for line in "ab" for name in ["control", *genes]
        for i in range(40 if name == "control" else 12)
    ]  # fmt: skip
    obs = pd.DataFrame(rows, columns=["line", "gene", "batch"])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    effect = {name: rng.normal(0, 0.5, 30) for name in genes} | {"control": np.zeros(30)}
    X = np.maximum(1.5 + rng.normal(0, 0.4, (len(obs), 30)) + [effect[g] for g in obs["gene"]], 0)
    dealt = deal_controls(obs.rename(columns={"line": "cell_line", "gene": "perturbation"}))
    if planted:
        X[dealt == YARDSTICK] = rng.uniform(0, 6, (int((dealt == YARDSTICK).sum()), 30))
    data = anndata.AnnData(X.astype(np.float32), obs)
    data.var_names = [*genes, *(f"G{i}" for i in range(18))]
    data.write_h5ad(folder / "source.h5ad")


def chain(folder, planted):
    """Everything before evaluation, from the source to predictions of every kind of arm."""
    folder.mkdir()
    source(folder, planted)
    chosen = {"genes": "controls", "n_genes": 20, "yardstick": 0.5}
    build_cells(folder / "source.h5ad", SPEC, chosen, folder / "cells.h5ad")
    store = CellStore(folder / "cells.h5ad")
    limits = {"min_cells": 5, "min_controls": 10}
    write_split(draw_split(store, SPLIT, limits, "s"), SPLIT, folder / "split.tsv")
    split = read_split(folder / "split.tsv")
    drawn = draw_embedding(12)
    embedding = Embedding(store.perturbations, drawn.vectors, drawn.coverage)
    write_embedding(embedding, folder / "text.h5ad", folder / "coverage.tsv")
    build_index(embedding, split, 3, folder / "index")
    out = folder / "out"
    forms = [
        ClosedFormJob(
            arm, OPTIONS, folder / "text.h5ad", folder / "index",
            PredictionFiles.beside(out / arm / "predictions.h5ad"),
        )
        for arm in ("control", "line_mean", "additive", "ridge", "knn", "response_expert")
    ]  # fmt: skip
    predict_closed_forms(store, split, forms, 8)
    for arm in ("state_genept", "response_rag"):
        options = OPTIONS | {"rag": arm == "response_rag"}
        train(make_job(folder, out / arm, arm, options, max_steps=6, match_batch=True))
        files = PredictionFiles.beside(out / arm / "predictions.h5ad")
        predict_with_network(load_bundle(out / arm / "bundle", "cpu"), store, split, 8, files)
    return folder


def test_planted_yardsticks_change_no_file_before_evaluation(tmp_path):
    plain, planted = chain(tmp_path / "plain", False), chain(tmp_path / "planted", True)
    one, other = (CellStore(folder / "cells.h5ad") for folder in (plain, planted))
    assert one.genes == other.genes
    changed = (np.asarray(one.X) != np.asarray(other.X)).any(axis=1)
    assert set(one.obs["control_part"][changed]) == {YARDSTICK}
    names = [
        path.relative_to(plain)
        for path in sorted(plain.rglob("*"))
        if path.is_file() and path.suffix in (".tsv", ".faiss", ".npz", ".safetensors", ".h5ad")
        and path.name not in ("source.h5ad", "cells.h5ad", "seconds.tsv")
    ]  # fmt: skip
    assert len(names) > 30
    for name in names:
        before, after = (_content(folder / name) for folder in (plain, planted))
        assert before == after, name


def _content(path):
    """Bytes of a file; of an h5ad what it holds, without the checksum of its inputs."""
    if path.suffix != ".h5ad":
        return path.read_bytes()
    data = anndata.read_h5ad(path)
    return np.asarray(data.X).tobytes(), data.obs.to_csv(), list(data.var_names)
