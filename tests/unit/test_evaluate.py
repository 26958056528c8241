"""Scoring of predictions: against definitions on the raw cells, and what must be refused."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scoring_cases import GENES, SETTINGS, make_split, make_store, write_predictions

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.store import CellStore
from ptrag.cells.store_writer import write_store
from ptrag.evaluation.evaluate import COLUMNS, evaluate, scale
from ptrag.evaluation.reference import build_reference, read_reference
from ptrag.metrics.registry import METRICS, metric_names
from ptrag.prediction.emission import shift_cells
from ptrag.prediction.files import Task, new_predictions

NAMES = metric_names()


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    store, shifts = make_store(folder)
    split = make_split(folder, store)
    build_reference(store, split, SETTINGS, folder / "reference.h5", floor_cells=32)
    return folder, store, split, shifts


def score(screen, predict, name="p", **more):
    folder, store, split, _ = screen
    path = write_predictions(folder / f"{name}.h5ad", store, split, predict, **more)
    out = folder / f"{name}.tsv"
    evaluate(store, split, folder / "reference.h5", path, SETTINGS, out)
    return read_table(out)


def shifted(screen):
    shifts = screen[3]
    return lambda line, p, x: np.maximum(x + 0.7 * shifts[line, p], 0).astype(np.float32)


def test_values_are_those_of_the_cells(screen):
    _, store, split, _ = screen
    predict = shifted(screen)
    cells = {}

    def kept(line, p, x):
        cells[line, p] = predict(line, p, x)
        return cells[line, p]

    table = score(screen, kept)
    assert list(table.columns) == COLUMNS
    assert list(table["metric"][: len(NAMES)]) == NAMES
    line, p = split.pairs("test")[0]
    control = store.controls(line).astype(float).mean(axis=0)
    keep = [g for g in range(len(GENES)) if GENES[g] != p]
    real = (store.mean(line, p) - control)[keep]
    guess = (cells[line, p].astype(float).mean(axis=0) - control)[keep]
    at = (table["cell_line"] == line) & (table["perturbation"] == p)
    value = table[at].set_index("metric")["value"]
    assert value["pearson_delta"] == pytest.approx(np.corrcoef(guess, real)[0, 1])
    assert value["mse_delta"] == pytest.approx(((guess - real) ** 2).mean())
    assert (table[at]["n_real"] == 30).all() and (table[at]["n_predicted"] == 32).all()
    assert set(table["role"]) == {"val", "test"}


def test_perfect_prediction_is_ideal(screen):
    folder, store, split, _ = screen
    pairs = [*split.pairs("val"), *split.pairs("test")]
    tasks = [Task(*pair, np.arange(30)) for pair in pairs]
    path = folder / "perfect.h5ad"
    with new_predictions(path, store, tasks, arm="x", seed=0) as write:
        for pair in pairs:
            write(np.asarray(store.cells(*pair)))
    evaluate(store, split, folder / "reference.h5", path, SETTINGS, folder / "perfect.tsv")
    table = read_table(folder / "perfect.tsv")
    for name, its in table.groupby("metric"):
        if name in ("mse_cells", "pearson_delta_split"):  # the cells' noise stays in
            continue
        if name in ("energy", "mmd"):  # unbiased: below zero for the very same cells
            assert (its["value"] <= 1e-9).all()
        else:
            ideal = METRICS[name].ideal
            np.testing.assert_allclose(its["value"].dropna(), ideal, atol=1e-6, err_msg=name)
            assert its["value"].notna().any(), name


def test_a_better_prediction_scores_better_on_every_metric(screen):
    shifts = screen[3]
    rng = np.random.default_rng(0)
    order = {line: rng.permutation(20) for line in ("a", "b")}

    def shuffled(line, p, x):
        other = f"G{order[line][int(p[1:])]}"
        return np.maximum(x + shifts[line, other], 0).astype(np.float32)

    good = score(screen, shifted(screen), "good").groupby("metric")["value"].mean()
    bad = score(screen, shuffled, "bad").groupby("metric")["value"].mean()
    for name in NAMES:
        assert (good[name] > bad[name]) == METRICS[name].higher, name


def test_what_is_shifted_or_scaled_scores_worse_where_size_counts(screen):
    """The truth moved by a constant, or exaggerated, against the truth itself."""
    shifts = screen[3]

    def moved(constant, factor):
        return lambda line, p, x: np.maximum(x + factor * shifts[line, p] + constant, 0)

    true, shifted, large = (
        score(screen, moved(*how), "moved").groupby("metric")["value"].mean()
        for how in ((0, 1), (0.6, 1), (0, 2.5))
    )
    size = {"mse", "mae", "mse_delta", "mae_delta", "r2", "r2_delta", "mse_pca", "w1", "w2", "mmd",
            "energy", "energy_halved", "w1_joint", "w2_halved", "mse_cells"}  # fmt: skip
    for name in size:
        for worse in (shifted, large):
            assert (true[name] > worse[name]) == METRICS[name].higher, name
    for name in ("pearson_delta", "spearman_delta", "pds_cosine"):  # what follows direction alone
        assert large[name] == pytest.approx(true[name], abs=0.06), name
    np.testing.assert_allclose(shifted["pearson_delta"], true["pearson_delta"], atol=0.02)


def test_order_of_predicted_cells_does_not_matter(screen):
    straight = score(screen, shifted(screen), "straight")
    predict = shifted(screen)
    turned = score(screen, lambda line, p, x: predict(line, p, x)[::-1], "turned")
    np.testing.assert_allclose(turned["value"], straight["value"], rtol=1e-6, atol=1e-9)


def test_nothing_is_fitted_on_scored_cells(screen, tmp_path):
    """Other responses of the scored pairs leave all that is fitted as it was."""
    _, store, split, _ = screen
    reference = read_reference(screen[0] / "reference.h5", store, split)
    X = np.array(store.X)
    for pair in [*split.pairs("val"), *split.pairs("test")]:
        X[store.rows(*pair)] += 5
    write_store(tmp_path / "cells.h5ad", X, store.obs, store.genes)
    other_store = CellStore(tmp_path / "cells.h5ad")
    build_reference(other_store, split, SETTINGS, tmp_path / "reference.h5", floor_cells=32)
    other = read_reference(tmp_path / "reference.h5", other_store, split)
    np.testing.assert_array_equal(other.pca.components, reference.pca.components)
    for name, line in reference.lines.items():
        assert other.lines[name].bandwidth == line.bandwidth
        np.testing.assert_array_equal(other.lines[name].centroid, line.centroid)
        np.testing.assert_array_equal(other.lines[name].control.mean, line.control.mean)


def test_same_bytes_again(screen, tmp_path):
    folder, store, split, _ = screen
    build_reference(store, split, SETTINGS, tmp_path / "again.h5", floor_cells=32, threads=3)
    assert (tmp_path / "again.h5").read_bytes() == (folder / "reference.h5").read_bytes()
    first = score(screen, shifted(screen), "one")
    pd.testing.assert_frame_equal(score(screen, shifted(screen), "two"), first)
    evaluate(
        store, split, folder / "reference.h5", folder / "one.h5ad", SETTINGS, tmp_path / "m.tsv", 3
    )
    assert (tmp_path / "m.tsv").read_bytes() == (folder / "one.tsv").read_bytes()


def test_a_pair_that_was_not_predicted_is_missing(screen):
    folder, store, split, _ = screen
    path = write_predictions(folder / "some.h5ad", store, split, shifted(screen))
    with h5py.File(path, "r+") as file:  # rename the last pair to one that is predicted too
        codes = file["obs/perturbation/codes"][:]
        lines = file["obs/cell_line/codes"][:]
        last = (codes == codes[-1]) & (lines == lines[-1])
        before = np.flatnonzero(~last & (lines == lines[-1]))[-1]
        codes[last] = codes[before]
        file["obs/perturbation/codes"][:] = codes
    evaluate(store, split, folder / "reference.h5", path, SETTINGS, folder / "some.tsv")
    table = read_table(folder / "some.tsv")
    missing = table[table["n_predicted"] == 0]
    assert len(missing) == len(NAMES) and missing["value"].isna().all()


def counts_scale(file):
    file["uns/scale"][()] = "counts"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (counts_scale, "scale 'counts'"),
        (lambda f: f["var/_index"].__setitem__(0, "NOVEL"), "other genes"),
        (lambda f: f["obs/perturbation/categories"].__setitem__(0, "NOVEL"), "no val or test pair"),
    ],
)  # fmt: skip
def test_foreign_predictions_are_refused(screen, break_it, message):
    folder, store, split, _ = screen
    path = write_predictions(folder / "foreign.h5ad", store, split, shifted(screen))
    with h5py.File(path, "r+") as file:
        break_it(file)
    with pytest.raises(PtragError, match=message):
        evaluate(store, split, folder / "reference.h5", path, SETTINGS, folder / "x.tsv")


def test_a_reference_of_another_split_or_settings_is_refused(screen, tmp_path):
    folder, store, split, _ = screen
    path = write_predictions(folder / "p.h5ad", store, split, shifted(screen))
    with pytest.raises(PtragError, match="other settings"):
        evaluate(
            store, split, folder / "reference.h5", path, SETTINGS | {"n_pcs": 3}, tmp_path / "x"
        )
    other = make_split(tmp_path, store, seed=2)
    with pytest.raises(PtragError, match="another split"):
        evaluate(store, other, folder / "reference.h5", path, SETTINGS, tmp_path / "x")


def test_scale_runs_from_the_mean_baseline_to_the_replicate(screen):
    _, store, split, _ = screen
    train = {line: [p for of, p in split.pairs("train") if of == line] for line in ("a", "b")}
    shifts = {
        line: np.mean([store.mean(line, p) - store.mean(line, "control") for p in its], axis=0)
        for line, its in train.items()
    }
    means = {line: store.mean(line, "control") for line in train}
    table = score(screen, lambda line, p, x: shift_cells(x, shifts[line], means[line]), "mean")
    np.testing.assert_allclose(table["value"], table["floor"], rtol=1e-6, atol=1e-8)
    some = table[table["metric"].isin(["pearson_delta", "energy", "pds_l2"])]
    np.testing.assert_allclose(some["scaled"].dropna(), 0, atol=1e-6)
    good = score(screen, shifted(screen), "scaled")
    good = good[(good["metric"] == "pearson_delta") & (good["role"] == "test")]
    assert (good["ceiling"] > good["floor"]).mean() > 0.9
    assert 0.8 < good["scaled"].mean() < 1.2  # it knows the truth, as a replicate does


def test_scale_is_missing_where_the_ceiling_is_not_better():
    values, floor, ceiling = np.array([[[0.5, 0.5]], [[0.0, 0.0]], [[1.0, -1.0]]])
    higher = np.array([True, True])
    np.testing.assert_allclose(scale(values, floor, ceiling, higher), [[0.5, np.nan]])
    np.testing.assert_allclose(scale(values, floor, ceiling, ~higher), [[np.nan, -0.5]])


def test_metrics_on_request(screen, tmp_path):
    _, store, split, _ = screen
    settings = SETTINGS | {"compat": True}
    build_reference(
        store, split, settings, tmp_path / "reference.h5", floor_cells=None, ceilings=False
    )
    path = write_predictions(tmp_path / "p.h5ad", store, split, shifted(screen))
    evaluate(store, split, tmp_path / "reference.h5", path, settings, tmp_path / "m.tsv")
    means = read_table(tmp_path / "m.tsv").groupby("metric")["value"].mean()
    assert set(means.index) == set(METRICS)
    assert means["gge_pearson_degs_paper"] > 0.9
    assert means["cell_eval_roc_auc"] > 0.9
    assert means["gge_energy"] < 0.1


def test_one_predicted_cell_is_refused(screen):
    folder, store, split, _ = screen
    tasks = [Task(*pair, np.array([0])) for pair in split.pairs("test")]
    path = folder / "single.h5ad"
    with new_predictions(path, store, tasks, arm="x", seed=0) as write:
        for task in tasks:
            write(store.X[task.rows])
    with pytest.raises(PtragError, match="one predicted cell"):
        evaluate(store, split, folder / "reference.h5", path, SETTINGS, folder / "x.tsv")


def test_pairs_of_a_single_cell_and_duplicates_of_it(tmp_path):
    store, _ = make_store(tmp_path, n_cells=1)
    split = make_split(tmp_path, store, min_cells=1)
    build_reference(store, split, SETTINGS, tmp_path / "reference.h5", floor_cells=32)
    path = write_predictions(
        tmp_path / "p.h5ad", store, split, lambda line, p, x: x[:1].repeat(32, 0)
    )
    evaluate(store, split, tmp_path / "reference.h5", path, SETTINGS, tmp_path / "m.tsv")
    means = read_table(tmp_path / "m.tsv").groupby("metric")["value"]
    undefined = {name for name, its in means if its.isna().any()}
    without_variance = {"energy", "mmd", "pearson_delta_degs", "spearman_delta_degs"}
    assert undefined == without_variance | {n for n in NAMES if METRICS[n].family == "degs"} - {
        "deg_count_error"
    }
