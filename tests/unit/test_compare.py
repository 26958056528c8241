"""The two tables of a comparison, from files of planted scores."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table, write_table
from ptrag.comparison.compare import SplitTables, compare

EVALUATION = {
    "bootstrap": 400, "confidence": 0.95, "primary": ["mse"],
    "contrasts": [["models", "baselines"]],
}  # fmt: skip
GENES = [f"P{i}" for i in range(30)]


def plant(folder, levels, seeds=(0,)):
    """Write metrics.tsv per arm; ``levels[arm][metric]`` is its mean."""
    rng = np.random.default_rng(0)
    hard = {g: rng.normal(0, 0.2) for g in GENES}
    runs = []
    for arm, of_metric in levels.items():
        for seed in seeds:
            rows = [
                ("k562", g, "val" if i < 10 else "test", metric,
                 level + hard[g] + rng.normal(0, 0.02), 0, 1, 9, 9, float(i))
                for i, g in enumerate(GENES) for metric, level in of_metric.items()
            ]  # fmt: skip
            columns = [
                "cell_line", "perturbation", "role", "metric",
                "value", "floor", "ceiling", "n_real", "n_predicted", "strength",
            ]  # fmt: skip
            path = folder / f"{arm}{seed}.tsv"
            write_table(pd.DataFrame(rows, columns=columns), path)
            runs.append(("s", arm, seed, path))
    return runs


def run(folder, runs, histories=(), split_half=False, **more):
    files = [folder / f"{name}.tsv" for name in SplitTables._fields]
    compare(runs, histories, EVALUATION | more, *files, split_half=split_half)
    return tuple(map(read_table, files[:2]))


def edited(path, edit):
    table = read_table(path)
    edit(table)
    write_table(table, path)


def test_seeds_are_averaged_within_pairs_and_missing_values_counted(tmp_path):
    runs = plant(tmp_path, {"ptrag": {"mse": 0.3}}, seeds=(1, 2, 3))

    def edit(seed, table):
        table["value"] = float(seed)
        table.loc[table["perturbation"] == "P29", "value"] = np.nan

    for _, _, seed, path in runs:
        edited(path, lambda table, seed=seed: edit(seed, table))
    comparison, contrasts = run(tmp_path, runs)
    test = comparison[comparison["role"] == "test"].iloc[0]
    assert (test["mean"], test["n_pairs"], test["n_missing"], test["n_seeds"]) == (2.0, 19, 1, 3)
    assert contrasts.empty and list(contrasts.columns)


def test_a_pair_that_one_arm_does_not_predict_is_left_out_for_all(tmp_path):
    levels = {arm: {"mse": 0.3} for arm in ("line_mean", "ptrag")}
    runs = plant(tmp_path, levels, seeds=(1, 2))

    def edit(table):
        unknown = table["perturbation"].isin(["P0", "P20", "P21"])
        table.loc[unknown, ["value", "n_predicted"]] = np.nan, 0

    edited(runs[3][-1], edit)  # one seed of one arm
    comparison, contrasts = run(tmp_path, runs)
    test = comparison[comparison["role"] == "test"]
    assert set(test["n_pairs"]) == {18} and set(test["n_left_out"]) == {2}
    assert set(comparison.loc[comparison["role"] == "val", "n_left_out"]) == {1}
    assert set(test["n_missing"]) == {0} and contrasts["n_pairs"].tolist() == [18]


def test_no_common_pair_is_one_line_with_the_arm(tmp_path):
    runs = plant(tmp_path, {arm: {"mse": 0.3} for arm in ("line_mean", "ptrag")})
    edited(runs[1][-1], lambda table: table.__setitem__("n_predicted", 0))
    with pytest.raises(PtragError, match=r"ptrag0\.tsv: no pair of split 's'.*'ptrag'.*arms:"):
        run(tmp_path, runs)


def test_the_test_pairs_are_compared_the_val_pairs_without_them(tmp_path):
    runs = plant(tmp_path, {arm: {"mse": 0.3} for arm in ("line_mean", "ptrag")})
    assert run(tmp_path, runs)[1]["n_pairs"].tolist() == [20]
    for *_, path in runs:
        table = read_table(path)
        write_table(table[table["role"] == "val"], path)
    assert run(tmp_path, runs)[1]["n_pairs"].tolist() == [10]


def test_split_half_has_the_ceilings_of_the_others(tmp_path):
    runs = plant(tmp_path, {arm: {"mse": 0.3} for arm in ("line_mean", "ptrag")}, seeds=(1, 2))

    def edit(table):
        table["ceiling"] = table["perturbation"].str[1:].astype(float)
        table.loc[table["perturbation"] == "P29", "ceiling"] = np.nan

    for *_, path in runs:
        edited(path, edit)
    comparison, contrasts = run(tmp_path, runs, split_half=True)
    row = comparison.set_index(["arm", "role"]).loc["split_half", "test"]
    assert (row["mean"], row["n_pairs"], row["n_seeds"]) == (np.mean(range(10, 29)), 19, 1)
    assert set(contrasts["arm"]) == {"ptrag"} and set(contrasts["n_pairs"]) == {20}


def test_holm_adjusts_over_all_contrasts_of_a_split_and_metric(tmp_path):
    levels = {"line_mean": 0.5, "ptrag": 0.505, "state": 0.51, "knn": 0.5}
    levels = {arm: {"mse": level, "energy": level} for arm, level in levels.items()}
    named = [["models", "baselines"], ["ptrag", "state"]]
    _, contrasts = run(tmp_path, plant(tmp_path, levels), contrasts=named)
    assert contrasts.groupby("metric").size().tolist() == [5, 5]
    for metric, rows in contrasts.groupby("metric"):
        expected = multipletests(rows["p"], method="holm")[1]
        np.testing.assert_allclose(rows["holm_p"], expected, err_msg=metric)
        assert set(rows["n_contrasts"]) == {5}


def test_a_training_that_still_falls_bars_claims(tmp_path):
    levels = {"line_mean": {"mse": 0.5}, "ptrag": {"mse": 0.2}, "state": {"mse": 0.2}}
    runs, histories = plant(tmp_path, levels, seeds=(1, 2)), []
    for arm, seed in (("ptrag", 1), ("ptrag", 2), ("state", 1)):
        values = 10 - np.arange(20) if (arm, seed) == ("ptrag", 2) else 1 + 9.0 ** -np.arange(20)
        history = pd.DataFrame({"step": range(20), "split": "val", "metric": "mse"})
        write_table(history.assign(value=values), tmp_path / f"{arm}{seed}.history.tsv")
        histories.append(("s", arm, "mse", tmp_path / f"{arm}{seed}.history.tsv"))
    for *_, path in runs:  # the mean baseline is worse than a replicate
        edited(path, lambda table: table.__setitem__("floor", 2.0 - table["ceiling"] + 1))
    comparison, contrasts = run(tmp_path, runs, histories)
    assert set(comparison.loc[comparison["improving"], "arm"]) == {"ptrag"}
    rows = contrasts.set_index("arm")
    assert (rows.loc["ptrag", "better"], rows.loc["ptrag", "barred"]) == (
        "neither", "still improving",
    )  # fmt: skip
    assert rows.loc["state", "better"] == "arm" and rows.loc["state", "barred"] == ""


def test_same_bytes_again(tmp_path):
    runs = plant(tmp_path, {arm: {"mse": 0.3} for arm in ("control", "line_mean", "ptrag")})
    run(tmp_path, runs)
    first = [(tmp_path / f).read_bytes() for f in ("comparison.tsv", "contrasts.tsv")]
    run(tmp_path, runs)
    assert first == [(tmp_path / f).read_bytes() for f in ("comparison.tsv", "contrasts.tsv")]
