"""Intervals of deltas: coverage on simulated scores, scales against their definitions."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scoring_cases import GENES, SETTINGS, make_split, make_store, write_predictions

from ptrag.base.files import read_table, write_table
from ptrag.cells.controls import GIVEN, YARDSTICK
from ptrag.cells.noise import Precision
from ptrag.cells.responses import Responses
from ptrag.evaluation.intervals import (
    COLUMNS,
    calibrate,
    cross_quantile,
    gene_classes,
    scales,
    write_intervals,
)
from ptrag.evaluation.reference import build_reference, fitted_on, read_reference

EVIDENCE = [
    "cell_line", "perturbation", "candidate", "rank", "similarity", "gate", "effect",
]  # fmt: skip
EVALUATION = SETTINGS | {"coverage": 0.9}


def test_one_score_per_cluster_is_split_conformal():
    rng = np.random.default_rng(0)
    for n in (9, 10, 25):
        scores = rng.random((n, 1))
        rank = int(np.ceil(0.9 * (n + 1)))  # with the finite-sample correction
        q = cross_quantile(scores, np.arange(n), 0.9)
        assert q >= np.sort(scores.ravel())[min(rank, n) - 1]


@pytest.mark.parametrize("clusters", [3, 8, 32])
@pytest.mark.parametrize("spread", [0.0, 0.3, 0.7])
def test_coverage_of_new_clusters(clusters, spread):
    """Scores of a cluster share a factor; the plain pooled quantile covers too little."""
    rng = np.random.default_rng(clusters)
    covered = []
    for _ in range(300):
        factor = np.exp(spread * rng.normal(size=clusters + 20))
        scores = np.abs(rng.normal(size=(clusters + 20, 40)) * factor[:, None])
        q = cross_quantile(scores[:clusters], np.arange(clusters), 0.9)
        covered.append((scores[clusters:] <= q).mean())
    assert 0.885 < np.mean(covered) < 0.935


def test_the_unit_is_the_perturbation_not_the_pair():
    """Pairs of one perturbation in several lines err together: each counts as one."""
    rng = np.random.default_rng(1)
    covered, naive = [], []
    for _ in range(300):
        factor = np.exp(0.8 * rng.normal(size=25))
        scores = np.abs(rng.normal(size=(25, 4, 20)) * factor[:, None, None])
        known, new = scores[:5].reshape(20, 20), scores[5:]
        covered.append((new <= cross_quantile(known, np.repeat(np.arange(5), 4), 0.9)).mean())
        naive.append((new <= cross_quantile(known, np.arange(20), 0.9)).mean())
    assert np.mean(naive) < 0.89 < np.mean(covered) < 0.94


def test_classes_have_their_own_quantile_and_one_cluster_gives_none():
    scores = np.ones((6, 8)) * np.repeat([1.0, 3.0], 4)
    scores[0, 0] = np.nan
    q = calibrate(scores, np.arange(6), np.repeat([0, 1], 4), 0.9)
    np.testing.assert_array_equal(q, np.repeat([1.0, 3.0], 4))
    assert np.isnan(calibrate(scores, np.zeros(6), np.repeat([0, 1], 4), 0.9)).all()


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intervals")
    store, shifts = make_store(folder, seed=3)
    split = make_split(folder, store)
    build_reference(
        store, split, EVALUATION, folder / "reference.h5", floor_cells=None, ceilings=False
    )
    write_table(pd.DataFrame(columns=EVIDENCE), folder / "none.tsv")
    return folder, store, split, shifts


def run(screen, predict, evidence="none.tsv", name="x"):
    folder, store, split, _ = screen
    written = write_predictions(folder / name, store, split, predict)
    out = folder / f"{name}.intervals.h5ad", folder / f"{name}.tsv"
    write_intervals(
        store, split, folder / "reference.h5", written.profiles, folder / evidence, EVALUATION, *out
    )
    return anndata.read_h5ad(out[0]), read_table(out[1])


def test_precision_is_what_the_screen_was_made_with(screen):
    folder, store, split, shifts = screen
    responses = Responses.measured(store, split)
    precision = Precision.of(responses)
    rows = [np.asarray(store.cells(*pair), float) for pair in split.pairs("train")]
    np.testing.assert_allclose(precision.noise, np.mean([x.var(0, ddof=1) for x in rows], axis=0))
    truth = np.array([shifts[pair] for pair in split.pairs("train")])
    lines = np.array([line for line, _ in split.pairs("train")])
    expected = sum(
        ((truth[lines == line] - truth[lines == line].mean(0)) ** 2).sum(0) for line in store.lines
    ) / (len(truth) - 2)
    assert np.corrcoef(precision.signal, expected)[0, 1] > 0.95
    assert precision.signal.sum() == pytest.approx(expected.sum(), rel=0.2)
    weak = Responses(
        responses.genes, responses.entries, responses.delta * 0.1, responses.se,
        responses.control_mean, responses.control_se,
    )  # fmt: skip
    assert (Precision.of(weak).entries["reliability"] < precision.entries["reliability"]).all()
    assert precision.entries["reliability"].between(0.5, 1).all()
    kept = read_reference(folder / "reference.h5", store, split).precision
    np.testing.assert_array_equal(kept.noise, precision.noise)
    pd.testing.assert_frame_equal(kept.entries, precision.entries)


def test_what_was_fitted_on_what_stands_in_the_file(screen):
    folder, store, split, _ = screen
    fitted = fitted_on(folder / "reference.h5")
    assert fitted["pca"]["components"] == SETTINGS["n_pcs"]
    assert fitted["degs"]["given"] == fitted["degs"]["yardstick"] == {"a": 30, "b": 30}
    train = split.pairs("train")
    assert fitted["centroid"]["pairs"] == {x: sum(of == x for of, _ in train) for x in store.lines}


def test_gene_classes_are_equal_parts_by_signal():
    precision = Precision(np.ones(12), np.arange(12.0)[::-1], None)
    np.testing.assert_array_equal(gene_classes(precision), np.repeat([3, 2, 1, 0], 3))


def test_the_scale_expects_the_noise_of_two_control_means(screen):
    """s² against the definition, from the cells themselves."""
    folder, store, split, _ = screen
    reference = read_reference(folder / "reference.h5", store, split)
    pairs = reference.pairs.assign(n_cells=30)
    precision = reference.precision
    for (line, _), s in zip(reference.keys, scales(reference, pairs), strict=True):
        halves = (store.controls(line, part).astype(float) for part in (GIVEN, YARDSTICK))
        controls = sum(half.var(axis=0, ddof=1) / len(half) for half in halves)
        expected = np.sqrt(precision.noise / 30 + controls + precision.signal)
        np.testing.assert_allclose(s, expected, rtol=1e-6)


def pair_at(folder, line, p):
    obs = anndata.read_h5ad(folder / "x.profiles.h5ad").obs
    return ((obs["cell_line"] == line) & (obs["perturbation"] == p)).to_numpy()


def test_intervals_of_a_screen(screen):
    folder, store, split, shifts = screen
    cells, table = run(screen, lambda line, p, x: x)
    assert list(table.columns) == COLUMNS
    test = table[table["role"] == "test"]
    assert 0.8 < test["coverage"].mean() < 1  # few pairs, all of them of 30 cells
    assert table["support"].isna().all()
    line, p = split.pairs("test")[0]
    row = cells[f"{line} | {p}"]
    observed = store.mean(line, p) - store.control_mean(line, YARDSTICK)
    np.testing.assert_allclose(row.layers["observed"][0], observed, atol=1e-5)
    profile = anndata.read_h5ad(folder / "x.profiles.h5ad")[pair_at(folder, line, p)].X[0]
    np.testing.assert_allclose(row.X[0], profile - store.control_mean(line, GIVEN), atol=1e-5)
    inside = np.abs(row.layers["observed"] - row.X)[0] <= row.layers["half_width"][0]
    keep = [g != p for g in GENES]
    at = table[(table["cell_line"] == line) & (table["perturbation"] == p)].iloc[0]
    assert at["coverage"] == pytest.approx(inside[keep].mean())
    assert at["width"] == pytest.approx(2 * row.layers["half_width"].mean(), rel=1e-5)
    better, narrow = run(screen, lambda line, p, x: np.maximum(x + shifts[line, p], 0), name="y")
    assert narrow["width"].mean() < 0.8 * table["width"].mean()
    assert better.uns["level"] == 0.9


def test_same_bytes_again(screen):
    folder = screen[0]
    names = ("x.intervals.h5ad", "x.tsv")
    run(screen, lambda line, p, x: x)
    first = [(folder / name).read_bytes() for name in names]
    run(screen, lambda line, p, x: x)
    assert first == [(folder / name).read_bytes() for name in names]


def test_support_in_the_file(screen):
    folder, _, split, _ = screen
    rows = [(*pair, "GX0", 1, 0.5, 0.3, 2.0) for pair in split.pairs("test")]
    write_table(pd.DataFrame(rows, columns=EVIDENCE), folder / "some.tsv")
    _, table = run(screen, lambda line, p, x: x, "some.tsv", "z")
    assert table[table["role"] == "test"]["support"].nunique() == 1
    assert (table[table["role"] == "val"]["support"] == 0).all()
