"""The benchmark measures what it says: its direct form is the network, and a small run ends."""

import importlib
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from ptrag.arms.neural import losses
from ptrag.arms.neural.networks import Batch


@pytest.fixture(scope="module")
def bench(root):
    folder = str(root / "benchmarks")
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.mark.parametrize("arm", ["ptrag", "ptrag_residual"])
def test_the_direct_form_is_the_network(bench, arm):
    pytest.importorskip("transformers")
    from direct import DirectNetwork, energy_distance
    from made import Sizes, network

    at = Sizes(set_size=5, genes=7, hidden=24, layers=2, candidates=3)
    ours = network(arm, at, 2).eval()
    direct = DirectNetwork(ours).eval()
    torch.manual_seed(1)
    batch = Batch(
        torch.rand(2, 5, 7), torch.randint(2, (2, 5)), torch.randn(6, 1536), torch.tensor([0, 3]),
        torch.tensor([[1, 2, 4], [0, 5, 2]]), torch.randn(2, 5, 3),
    )  # fmt: skip
    observed = torch.rand(2, 5, 7)
    results = []
    for form, energy in ((ours, losses.energy_distance), (direct, energy_distance)):
        form.zero_grad()
        cells, gates = form(batch)
        loss = energy(cells, observed)
        loss.sum().backward()
        results.append([cells, gates, loss, ours.encode_cell.weight.grad.clone()])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=2e-4)


def test_a_small_run_writes_results_and_a_table(bench, tmp_path, monkeypatch):
    """One case runs in its own process, as all do outside of this test."""
    import run

    def here(script, **spec):
        if script == "floor.py":
            return in_a_process(script, **spec)
        return importlib.import_module(script.removesuffix(".py")).case(**spec) | memory

    in_a_process, memory = run.run, {"peak_mib": 512.0, "peak_torch_mib": None}
    monkeypatch.setattr(run, "run", here)
    monkeypatch.setattr("made.CONTROLS", 128)
    small = (
        "--only train predict preprocess --sets 2 --set-size 8 --genes 24 --hidden 16 "
        "--layers 1 --candidates 3 --repeats 1 --rounds 1 --threads 1 --predict-cells 32 "
        f"--preprocess-cells 500 --preprocess-genes 40 --out {tmp_path}"
    )
    run.main(run.arguments(small.split()))
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    results = record["results"]
    for name in ("ptrag, 2x8", "direct, 2x8", "no retrieval, 2x8", "matrix products, 2x8"):
        assert len(results[name]["seconds"]) == 1
        assert results[name]["peak_mib"] > 50, name
    # 2 sets of 8 cells through one layer, forward and backward: 2 flop a weight and row each
    weights = 16 * 3 * 12 * 58 + 12 * 58 * 16 + 16 * 2 * 2784 + 2784 * 16
    assert results["matrix products, 2x8"]["flop"] == 4 * 16 * weights
    assert results["preprocess 500"]["written_mb"] > 500 * 40 * 4 / 1e6
    text = (tmp_path / "table.md").read_text()
    assert "train step 2×8" in text
    assert str(tmp_path) not in path.read_text()


def test_importing_the_library_loads_nothing_heavy(bench):
    import start

    assert start.imported() == []


def planted_scores(gain):
    """Five draws of eight pairs in which one arm is ahead by ``gain`` on every pair."""
    rows = []
    for seed in range(1, 6):
        for i in range(8):
            for arm, step in (("none", 400), ("displaced", 900)):
                value = np.sin(seed + i) + gain * (arm == "displaced")
                metrics = dict.fromkeys(("pearson", "mse", "pds_cosine", "energy"), value)
                rows.append(
                    {"case": "made", "split": "genes", "seed": seed, "drawn_anew": True,
                     "cell_line": f"l{i % 2}", "perturbation": f"p{i // 2}", "arm": arm,
                     "step": step + seed, "last_step": 1000, "plateau": seed > 2,
                     "validation": seed / 4, "cpu_seconds": 10.0 * seed,
                     "pearson_truth": np.nan, "mse_truth": np.nan, **metrics}
                )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("gain", [0.25, -0.125])
def test_paired_differences_are_the_planted_ones_and_ahead_means_better(bench, gain):
    from paired import paired_differences

    evaluation = {"bootstrap": 200, "confidence": 0.95}
    contrasts = [("displaced", "none"), ("displaced", "an arm that was not run")]
    rows = paired_differences(planted_scores(gain), contrasts, evaluation).set_index("metric")
    assert sorted(rows.index) == ["energy", "mse", "pds_cosine", "pearson"]  # no truth was known
    for metric, row in rows.iterrows():
        assert row["n_pairs"] == 40
        ahead = -gain if metric in ("mse", "energy") else gain
        assert [row["ahead"], row["low"], row["high"]] == pytest.approx([ahead] * 3)
        assert row["of_arm"] - row["of_against"] == pytest.approx(gain, abs=2e-5)
        assert row["better_in"] == ("5 of 5" if ahead > 0 else "0 of 5")


def test_perturbations_of_another_draw_are_other_clusters_only_where_screens_are_drawn_anew(bench):
    """A difference that is the same in all draws is known less well where draws share clusters."""
    from paired import paired_differences

    scores = planted_scores(0.0)
    scores["pearson"] += (scores["arm"] == "displaced") * scores["perturbation"].str[1:].astype(int)
    widths = []
    for anew in (True, False):
        of_kind = scores.assign(drawn_anew=anew)
        row = paired_differences(
            of_kind, [("displaced", "none")], {"bootstrap": 500, "confidence": 0.95}
        )
        row = row.set_index("metric").loc["pearson"]
        widths.append(row["high"] - row["low"])
    assert widths[1] / widths[0] > 1.5


def test_costs_are_what_trainings_took(bench):
    from networks import costs

    runs = planted_scores(0.1).drop_duplicates(["arm", "seed"])
    rows = costs(runs, ["case", "arm"]).set_index("arm")
    assert rows.loc["none", "kept"] == "401 402 403 404 405"
    assert rows.loc["displaced", "kept"] == "901 902 903 904 905"
    assert rows["on_plateau"].tolist() == [3, 3] and rows["trainings"].tolist() == [5, 5]
    assert rows["cpu_seconds"].tolist() == [30.0, 30.0]
    assert rows["validation"].tolist() == ["0.2500 0.5000 0.7500 1.0000 1.2500"] * 2


def test_what_retrieval_adds_is_measured_once_and_read_again(bench, tmp_path, monkeypatch):
    """A training whose scores stand is not repeated, and one that is asked for anew is added."""
    import retrieval

    monkeypatch.setattr(retrieval, "components", lambda *_: "pca")
    monkeypatch.setattr(retrieval, "with_vectors", lambda screen: screen)
    asked = []

    def table(arm, **facts):
        asked.append(arm)
        return planted_scores(0.0).query("arm == 'none'").assign(arm=arm)

    monkeypatch.setattr(retrieval, "of_closed_forms", lambda *_: table("ridge"))
    monkeypatch.setattr(
        retrieval, "of_network", lambda screen, config, arm, training, pca: table(arm)
    )

    config = {"evaluation": {"n_pcs": 2}}
    retrieval.complete("screen", config, ["ptrag"], {}, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    retrieval.complete("screen", config, ["ptrag", "state"], {}, tmp_path)
    assert asked == ["ridge", "ptrag", "state"]
    assert sorted(before) == ["closed_forms.tsv", "ptrag.tsv"]
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content
    assert set(pd.read_csv(tmp_path / "state.tsv", sep="\t")["arm"]) == {"state"}
