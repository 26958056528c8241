"""Comparison and contrasts on planted scores."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ptrag.base.files import read_table, write_table
from ptrag.comparison.compare import COMPARISON, CONTRASTS, compare

EVALUATION = {"bootstrap": 400, "confidence": 0.95}
GENES = [f"P{i}" for i in range(30)]


def plant(folder, values, seeds=(0,)):
    """Write metrics.tsv per arm; ``values[arm][metric]`` is its level by role."""
    rng = np.random.default_rng(0)
    hard = {g: rng.normal(0, 0.2) for g in GENES}
    runs = []
    for arm, levels in values.items():
        for seed in seeds:
            rows = [
                ("k562", g, "val" if i < 10 else "test", metric,
                 level["val" if i < 10 else "test"] + hard[g] + rng.normal(0, 0.02), 0, 1, 9, 9)
                for i, g in enumerate(GENES) for metric, level in levels.items()
            ]  # fmt: skip
            columns = [
                "cell_line", "perturbation", "role", "metric",
                "value", "floor", "ceiling", "n_real", "n_predicted",
            ]  # fmt: skip
            table = pd.DataFrame(rows, columns=columns)
            path = folder / f"{arm}{seed}.tsv"
            write_table(table, path)
            runs.append(("s", arm, seed, path))
    return runs


def both(level):
    return {"val": level, "test": level}


def run(folder, runs, **more):
    compare(runs, EVALUATION | more, folder / "comparison.tsv", folder / "contrasts.tsv")
    return read_table(folder / "comparison.tsv"), read_table(folder / "contrasts.tsv")


def test_the_bar_is_chosen_on_validation_pairs(tmp_path):
    values = {
        "perturbation_mean": {"pearson_delta": {"val": 0.5, "test": 0.1}},
        "line_mean": {"pearson_delta": {"val": 0.3, "test": 0.9}},
        "ptrag": {"pearson_delta": both(0.6)},
    }
    _, contrasts = run(tmp_path, plant(tmp_path, values))
    assert list(contrasts.columns) == CONTRASTS
    assert set(contrasts["against"]) == {"perturbation_mean"}
    row = contrasts.set_index("arm").loc["ptrag"]
    assert row["better"] == "arm" and row["n_pairs"] == 20
    assert row["difference"] == pytest.approx(0.5, abs=0.02)
    assert row["low"] < row["difference"] < row["high"]


def test_direction_decides_who_is_better(tmp_path):
    values = {
        "line_mean": {"mse": both(0.5), "pearson_delta": both(0.5)},
        "ptrag": {"mse": both(0.2), "pearson_delta": both(0.2)},
    }
    _, contrasts = run(tmp_path, plant(tmp_path, values))
    better = contrasts.set_index("metric")["better"]
    assert better["mse"] == "arm" and better["pearson_delta"] == "against"


def test_the_bar_of_an_error_is_the_smallest(tmp_path):
    values = {arm: {"mse": both(level)} for arm, level in
              (("control", 0.9), ("line_mean", 0.2), ("ptrag", 0.2))}  # fmt: skip
    _, contrasts = run(tmp_path, plant(tmp_path, values))
    assert set(contrasts["against"]) == {"line_mean"}
    assert contrasts.set_index("arm")["better"]["control"] == "against"


def test_negative_controls_and_configured_contrasts(tmp_path):
    levels = {"line_mean": 0.5, "ptrag": 0.2, "ptrag@shuffled": 0.2, "state": 0.4}
    values = {arm: {"energy": both(level)} for arm, level in levels.items()}
    wanted = [["ptrag", "state"], ["ptrag", "line_mean"]]
    _, contrasts = run(tmp_path, plant(tmp_path, values), contrasts=wanted)
    kinds = {(r.arm, r.against): r.kind for r in contrasts.itertuples()}
    assert kinds == {
        ("ptrag", "line_mean"): "baseline", ("ptrag@shuffled", "line_mean"): "baseline",
        ("state", "line_mean"): "baseline", ("ptrag", "ptrag@shuffled"): "negative_control",
        ("ptrag", "state"): "configured",
    }  # fmt: skip
    shuffled = contrasts[contrasts["kind"] == "negative_control"].iloc[0]
    assert shuffled["better"] == "neither"
    assert (contrasts["holm_p"] >= contrasts["wilcoxon_p"]).all()


def test_without_validation_pairs_every_baseline_is_a_bar(tmp_path):
    values = {arm: {"mse": both(0.3)} for arm in ("control", "line_mean", "ptrag")}
    runs = plant(tmp_path, values)
    for *_, path in runs:
        table = read_table(path)
        write_table(table[table["role"] == "test"], path)
    _, contrasts = run(tmp_path, runs)
    assert list(zip(contrasts["arm"], contrasts["against"], strict=True)) == [
        ("ptrag", "control"), ("ptrag", "line_mean"),
    ]  # fmt: skip


def test_seeds_are_averaged_within_pairs_and_missing_values_counted(tmp_path):
    runs = plant(tmp_path, {"ptrag": {"mse": both(0.3)}}, seeds=(1, 2, 3))
    for _, _, seed, path in runs:
        table = read_table(path)
        table["value"] = float(seed)
        table.loc[table["perturbation"] == "P29", "value"] = np.nan
        write_table(table, path)
    comparison, contrasts = run(tmp_path, runs)
    assert list(comparison.columns) == COMPARISON
    test = comparison[comparison["role"] == "test"].iloc[0]
    assert (test["mean"], test["n_pairs"], test["n_missing"], test["n_seeds"]) == (2.0, 19, 1, 3)
    assert contrasts.empty


def test_split_half_has_the_ceilings_of_the_others_and_is_no_contestant(tmp_path):
    values = {arm: {"mse": both(0.3)} for arm in ("line_mean", "ptrag")}
    runs = plant(tmp_path, values, seeds=(1, 2))
    for *_, path in runs:
        table = read_table(path)
        table["ceiling"] = table["perturbation"].str[1:].astype(float)
        write_table(table, path)
    wanted = [["split_half", "ptrag"]]
    compare(
        runs, EVALUATION | {"contrasts": wanted}, tmp_path / "comparison.tsv",
        tmp_path / "contrasts.tsv", split_half=True,
    )  # fmt: skip
    comparison = read_table(tmp_path / "comparison.tsv").set_index(["arm", "role"])
    row = comparison.loc["split_half", "test"]
    assert (row["mean"], row["n_pairs"], row["n_seeds"]) == (np.mean(range(10, 30)), 20, 1)
    contrasts = read_table(tmp_path / "contrasts.tsv")
    kinds = contrasts.set_index("arm")["kind"].to_dict()
    assert kinds == {"ptrag": "baseline", "split_half": "configured"}


def test_pairs_without_a_scale_stand_apart(tmp_path):
    runs = plant(tmp_path, {"ptrag": {"pearson_delta": both(0.3)}})
    table = read_table(runs[0][-1])
    for i, (value, floor, ceiling) in {
        "P10": (0.6, 0.5, 0.5), "P11": (0.9, 0.5, 0.4), "P12": (0.4, 0.2, np.nan),
    }.items():  # fmt: skip
        table.loc[table["perturbation"] == i, ["value", "floor", "ceiling"]] = value, floor, ceiling
    write_table(table, runs[0][-1])
    comparison, _ = run(tmp_path, runs)
    row = comparison.set_index("role").loc["test"]
    rest = table[table["perturbation"].isin([f"P{i}" for i in range(13, 30)])]
    assert (row["n_pairs"], row["n_scaled"], row["n_unscaled"]) == (20, 17, 2)
    assert row["unscaled"] == pytest.approx(0.75)
    assert row["scaled"] == pytest.approx(rest["value"].mean())  # from 0 to 1 there


def test_each_baseline_on_request(tmp_path):
    values = {arm: {"mse": both(0.3)} for arm in ("control", "line_mean", "additive", "ptrag")}
    runs = plant(tmp_path, values)
    _, contrasts = run(tmp_path, runs, contrasts=[["ptrag", "baselines"]])
    against = contrasts[contrasts["arm"] == "ptrag"].groupby("kind")["against"].apply(set)
    assert len(against["baseline"]) == 1
    assert against["baseline"] | against["configured"] == {"control", "line_mean", "additive"}


def test_holm_adjusts_within_a_kind(tmp_path):
    values = {arm: {"mse": both(level)} for arm, level in
              (("line_mean", 0.5), ("ptrag", 0.5), ("state", 0.5), ("knn", 0.6))}  # fmt: skip
    _, contrasts = run(tmp_path, plant(tmp_path, values), contrasts=[["ptrag", "state"]])
    for kind, its in contrasts.groupby("kind"):
        expected = multipletests(its["wilcoxon_p"], method="holm")[1]
        np.testing.assert_allclose(its["holm_p"], expected, err_msg=kind)
    alone = contrasts[contrasts["kind"] == "configured"].iloc[0]
    assert alone["holm_p"] == alone["wilcoxon_p"]


def test_power_is_low_where_a_tenth_of_the_way_could_not_be_seen(tmp_path):
    values = {arm: {"pearson_delta": both(0.3)} for arm in ("line_mean", "ptrag")}
    runs = plant(tmp_path, values)
    _, contrasts = run(tmp_path, runs)
    row = contrasts.iloc[0]
    # the paired differences have deviation 0.02 √2 over 20 pairs
    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.02 * np.sqrt(2 / 20)
    assert row["detectable"] == pytest.approx(expected, rel=0.35)
    assert row["power"] == "enough"  # it is about 0.7 to the ideal
    for *_, path in runs:
        table = read_table(path)
        table["value"] += 1 - 5 * row["detectable"] - 0.3
        write_table(table, path)
    assert run(tmp_path, runs)[1].iloc[0]["power"] == "low"


def test_same_bytes_again(tmp_path):
    values = {arm: {"mse": both(0.3)} for arm in ("control", "line_mean", "ptrag")}
    runs = plant(tmp_path, values)
    run(tmp_path, runs)
    first = [(tmp_path / f).read_bytes() for f in ("comparison.tsv", "contrasts.tsv")]
    run(tmp_path, runs)
    assert first == [(tmp_path / f).read_bytes() for f in ("comparison.tsv", "contrasts.tsv")]
