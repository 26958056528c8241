"""Scoring of predictions against definitions on the raw cells."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scoring_cases import (
    GENES,
    SETTINGS,
    make_split,
    make_store,
    score,
    scored_screen,
    shifted,
    write_predictions,
)
from stores import write_store

from ptrag.base.files import read_table
from ptrag.cells.controls import GIVEN, YARDSTICK
from ptrag.cells.store import CellStore
from ptrag.evaluation.evaluate import COLUMNS, evaluate
from ptrag.evaluation.reference import build_reference, read_reference
from ptrag.metrics.registry import METRICS, metric_names

NAMES = metric_names()


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return scored_screen(tmp_path_factory.mktemp("screen"))


def mean(cells):
    return np.asarray(cells, float).mean(axis=0)


def values_of(table, pair):
    at = (table["cell_line"] == pair[0]) & (table["perturbation"] == pair[1])
    return table[at].set_index("metric")["value"]


def test_profiles_and_cells_are_each_scored_by_what_they_are(screen):
    """Profile and cells disagree here: means follow the profile, distributions the cells."""
    _, store, split, shifts = screen
    outputs = {}

    def predict(line, p, x):
        cells = np.maximum(x + 0.7 * shifts[line, p], 0).astype(np.float32)
        outputs[line, p] = mean(store.controls(line, GIVEN)) + 0.4 * shifts[line, p], cells
        return outputs[line, p]

    table = score(screen, predict)
    assert list(table.columns) == COLUMNS
    assert list(table["metric"][: len(NAMES)]) == NAMES
    assert (table["n_real"] == 30).all() and (table["n_predicted"] == 32).all()
    assert set(table["role"]) == {"val", "test"}
    line, p = pair = split.pairs("test")[0]
    value, profile = values_of(table, pair), outputs[pair][0]
    keep = [g for g in range(len(GENES)) if GENES[g] != p]
    given, yardstick = (store.controls(line, part).astype(float) for part in (GIVEN, YARDSTICK))
    real = store.cells(*pair).astype(float)
    delta = (mean(real) - mean(yardstick))[keep]
    predicted = (profile - mean(given))[keep]
    assert value["pearson_delta"] == pytest.approx(np.corrcoef(predicted, delta)[0, 1])
    assert value["mse_delta"] == pytest.approx(((predicted - delta) ** 2).mean())
    assert value["mse"] == pytest.approx(((profile - mean(real)) ** 2).mean())
    train = [mean(store.cells(*pair)) for pair in split.pairs("train") if pair[0] == line]
    systema = [(x - np.mean(train, axis=0))[keep] for x in (profile, mean(real))]
    assert value["pearson_systema"] == pytest.approx(np.corrcoef(*systema)[0, 1])
    bent = score(screen, lambda *key: (outputs[key[:2]][0], outputs[key[:2]][1] + 1), "bent")
    for name in NAMES:
        family = METRICS[name].family
        same = values_of(bent, pair)[name] == pytest.approx(value[name], rel=1e-9, nan_ok=True)
        if family in ("means", "systema", "discrimination"):
            assert same, name
        if family == "distribution":
            assert not same, name


def test_degs_come_from_different_controls_on_the_two_sides(screen):
    _, store, split, _ = screen
    outputs = {}

    def predict(line, p, x):
        outputs[line, p] = x
        return x

    table = score(screen, predict, "degs")
    reference = read_reference(screen[0] / "reference.h5", store, split)
    for number, pair in enumerate(reference.keys):
        cells, real = outputs[pair].astype(float), store.cells(*pair).astype(float)
        p = stats.ttest_ind(real, store.controls(pair.cell_line, YARDSTICK), equal_var=False).pvalue
        np.testing.assert_allclose(reference.measured[number][1], p, rtol=1e-4)
        keep = np.array([gene != pair.perturbation for gene in GENES])
        significant = stats.false_discovery_control(p[keep]) < SETTINGS["deg_alpha"]
        given = store.controls(pair.cell_line, GIVEN).astype(float)
        t = welch_of_as_many(cells, given, len(real))
        predicted = stats.false_discovery_control(t[keep]) < SETTINGS["deg_alpha"]
        if significant.any():
            expected = (significant & predicted).sum() / significant.sum()
            assert values_of(table, pair)["deg_recall"] == pytest.approx(expected)


def welch_of_as_many(cells, controls, n):
    """Welch's p as if there were n cells, from summary statistics by scipy."""
    sides = (cells.mean(0), cells.std(0, ddof=1), n, controls.mean(0), controls.std(0, ddof=1))
    return stats.ttest_ind_from_stats(*sides, len(controls), equal_var=False).pvalue


def test_perfect_prediction_is_ideal(screen):
    """The real cells; the profile is as far from the given mean as they are from the yardsticks."""
    store = screen[1]
    control = {
        line: [mean(store.controls(line, part)) for part in (GIVEN, YARDSTICK)]
        for line in store.lines
    }

    def predict(line, p, _):
        cells = store.cells(line, p)
        given, yardstick = control[line]
        return mean(cells) - yardstick + given, cells

    table = score(screen, predict, "perfect")
    for name, rows in table.groupby("metric"):
        family = METRICS[name].family
        if name == "mse_cells" or family in ("systema",) or name in (
            "mse", "mae", "r2", "mse_pca",
        ):  # fmt: skip
            continue  # what reads the profile without its controls has their difference in it
        if name in ("energy", "mmd"):  # unbiased: below zero for the very same cells
            assert (rows["value"] <= 1e-9).all()
        elif family == "degs" and name not in ("deg_direction", "deg_spearman"):
            continue  # the same cells against other controls
        else:
            ideal = METRICS[name].ideal
            np.testing.assert_allclose(rows["value"].dropna(), ideal, atol=1e-6, err_msg=name)
            assert rows["value"].notna().any(), name
    same = score(screen, lambda line, p, x: np.asarray(store.cells(line, p)), "same")
    for name in ("mse", "mae", "r2", "mse_pca", "pearson_systema", "centroid_accuracy"):
        value = same[same["metric"] == name]["value"]
        np.testing.assert_allclose(value, METRICS[name].ideal, atol=1e-6, err_msg=name)


def test_a_better_prediction_scores_better_on_every_metric(screen):
    shifts = screen[3]
    rng = np.random.default_rng(0)
    order = {line: rng.permutation(20) for line in ("a", "b")}

    def shuffled(line, p, x):
        other = f"GX{order[line][int(p[2:])]}"
        return np.maximum(x + shifts[line, other], 0).astype(np.float32)

    good = score(screen, shifted(screen), "good").groupby("metric")["value"].mean()
    bad = score(screen, shuffled, "bad").groupby("metric")["value"].mean()
    for name in set(NAMES) - {"mode_collapse"}:  # wrong responses differ as much as right ones
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
        for part in ("given", "yardstick"):
            one, two = (getattr(known, part).moments.mean for known in (other.lines[name], line))
            np.testing.assert_array_equal(one, two)


def test_what_predicted_cells_start_from_shapes_no_component(screen, tmp_path):
    """A PCA of given controls would show more of the cells that are made of them."""
    _, store, split, _ = screen
    reference = read_reference(screen[0] / "reference.h5", store, split)
    for part, alike in (("given", True), ("yardstick", False)):
        X = np.array(store.X)
        for line in store.lines:
            X[store.control_rows(line, part)] *= 2
        write_store(tmp_path / "cells.h5ad", X, store.obs, store.genes)
        other_store = CellStore(tmp_path / "cells.h5ad")
        build_reference(other_store, split, SETTINGS, tmp_path / "other.h5", floor_cells=32)
        other = read_reference(tmp_path / "other.h5", other_store, split)
        assert np.array_equal(other.pca.components, reference.pca.components) == alike
        for name, line in reference.lines.items():
            assert (other.lines[name].bandwidth == line.bandwidth) == alike


def test_same_bytes_again(screen, tmp_path):
    folder, store, split, _ = screen
    build_reference(store, split, SETTINGS, tmp_path / "again.h5", floor_cells=32, threads=3)
    assert (tmp_path / "again.h5").read_bytes() == (folder / "reference.h5").read_bytes()
    first = score(screen, shifted(screen), "one")
    pd.testing.assert_frame_equal(score(screen, shifted(screen), "two"), first)
    written = write_predictions(folder / "one", store, split, shifted(screen))
    evaluate(store, split, folder / "reference.h5", *written, SETTINGS, tmp_path / "m.tsv", 3)
    assert (tmp_path / "m.tsv").read_bytes() == (folder / "one.tsv").read_bytes()


def test_a_pair_that_was_not_predicted_is_missing(screen):
    folder, store, split, _ = screen
    written = write_predictions(folder / "some", store, split, shifted(screen))
    for path in written:
        file = anndata.read_h5ad(path)
        file[(file.obs["perturbation"] != split.pairs("test")[0][1]).to_numpy()].write_h5ad(path)
    evaluate(store, split, folder / "reference.h5", *written, SETTINGS, folder / "some.tsv")
    table = read_table(folder / "some.tsv")
    missing = table[table["n_predicted"] == 0]
    assert set(missing["perturbation"]) == {split.pairs("test")[0][1]}
    assert missing["value"].isna().all()
    assert table[table["metric"] == "pds_cosine"]["value"].notna().sum() == len(table) / len(
        NAMES
    ) - len(missing) / len(NAMES)


def test_the_floor_is_the_mean_baseline(screen):
    """Its profile is the given mean plus the mean training delta; its cells, moved controls."""
    _, store, split, _ = screen
    given = {line: mean(store.controls(line, GIVEN)) for line in store.lines}
    deltas = {
        line: np.mean([store.mean(*pair) - given[line] for pair in split.pairs("train")
                       if pair[0] == line], axis=0)
        for line in store.lines
    }  # fmt: skip

    def predict(line, p, x):
        return np.maximum(given[line] + deltas[line], 0), np.maximum(x + deltas[line], 0)

    table = score(screen, predict, "mean")
    at = table.set_index("metric")
    for name in NAMES:
        if METRICS[name].family in ("means", "systema", "discrimination"):
            np.testing.assert_allclose(at.loc[name, "value"], at.loc[name, "floor"], atol=1e-9)
    assert (at.loc["pearson_systema", "value"] == 0).all()  # not a correlation of rounding
    # other cells were drawn, and moved by the delta where the floor's reach the mean exactly
    for name in ("energy", "w1", "w2"):
        rows = at.loc[name]
        assert rows["value"].mean() == pytest.approx(rows["floor"].mean(), rel=0.1, abs=0.03), name


def test_the_ceiling_is_a_replicate_from_other_controls(screen):
    """Halves of cells and of yardstick controls, against a loop over the definition."""
    store = screen[1]
    at = score(screen, shifted(screen)).set_index("metric")
    one = at.loc["pearson_delta"]
    assert (one["ceiling"] > one["floor"]).mean() > 0.9
    rng = np.random.default_rng(0)
    expected = []
    for pair in zip(one["cell_line"], one["perturbation"], strict=True):
        keep = np.array([gene != pair[1] for gene in GENES])
        for _ in range(20):
            sides = [
                np.array_split(rng.permutation(cells), 2)
                for cells in (store.cells(*pair), store.controls(pair[0], YARDSTICK))
            ]
            deltas = [
                (mean(cells) - mean(known))[keep] for cells, known in zip(*sides, strict=True)
            ]
            expected.append(np.corrcoef(*deltas)[0, 1])
    assert one["ceiling"].mean() == pytest.approx(np.mean(expected), abs=0.02)


def test_few_yardstick_controls_have_no_ceiling(tmp_path):
    store, _ = make_store(tmp_path, n_controls=6)
    split = make_split(tmp_path, store)
    build_reference(store, split, SETTINGS, tmp_path / "reference.h5", floor_cells=None)
    bounds = read_reference(tmp_path / "reference.h5", store, split).bounds
    assert np.isnan(bounds["ceiling"]).all()


def test_metrics_on_request(screen, tmp_path):
    _, store, split, _ = screen
    settings = SETTINGS | {"compat": True}
    build_reference(
        store, split, settings, tmp_path / "reference.h5", floor_cells=None, ceilings=False
    )
    written = write_predictions(tmp_path / "p", store, split, shifted(screen))
    evaluate(store, split, tmp_path / "reference.h5", *written, settings, tmp_path / "m.tsv")
    means = read_table(tmp_path / "m.tsv").groupby("metric")["value"].mean()
    assert set(means.index) == set(metric_names(on_request=True))
    assert means["gge_pearson_degs_paper"] > 0.9
    assert means["cell_eval_roc_auc"] > 0.9
    assert means["gge_energy"] < 0.1


def test_pairs_of_a_single_cell_and_duplicates_of_it(tmp_path):
    store, _ = make_store(tmp_path, n_cells=1)
    split = make_split(tmp_path, store, min_cells=1)
    build_reference(store, split, SETTINGS, tmp_path / "reference.h5", floor_cells=32)
    written = write_predictions(
        tmp_path / "p", store, split, lambda line, p, x: x[:1].repeat(32, 0)
    )
    evaluate(store, split, tmp_path / "reference.h5", *written, SETTINGS, tmp_path / "m.tsv")
    values = read_table(tmp_path / "m.tsv").groupby("metric")["value"]
    undefined = {name for name, value in values if value.isna().any()}
    without_variance = {
        "energy", "mmd", "pearson_delta_degs", "spearman_delta_degs", "mode_collapse",
    }  # fmt: skip
    assert undefined == without_variance | {n for n in NAMES if METRICS[n].family == "degs"} - {
        "deg_count_error"
    }
