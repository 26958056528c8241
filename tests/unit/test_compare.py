"""Comparison and contrasts on planted scores."""

import numpy as np
import pandas as pd
import pytest

from ptrag.compare import COMPARISON, CONTRASTS, compare
from ptrag.files import read_table, write_table

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


def test_same_bytes_again(tmp_path):
    values = {arm: {"mse": both(0.3)} for arm in ("control", "line_mean", "ptrag")}
    runs = plant(tmp_path, values)
    run(tmp_path, runs)
    first = [(tmp_path / f).read_bytes() for f in ("comparison.tsv", "contrasts.tsv")]
    run(tmp_path, runs)
    assert first == [(tmp_path / f).read_bytes() for f in ("comparison.tsv", "contrasts.tsv")]
