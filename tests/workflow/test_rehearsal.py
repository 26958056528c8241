"""The rehearsal, at a size that takes a minute: made file, workflow, table."""

import re

import h5py
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def test_a_small_rehearsal_ends_with_the_table(root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    import rehearsal

    small = (
        f"--folder {tmp_path} --cells 4000 --genes 60 --perturbations 40 --targets 1 --steps 2 "
        "--sets 2 --small-network --cores 2 "
        "--arms line_mean response_expert response_expert@shuffled ptrag response_rag"
    )
    text = rehearsal.main(rehearsal.arguments(small.split()))
    with h5py.File(tmp_path / "replogle.h5ad") as file:
        X = file["obsm/X_hvg"]
        assert X.shape == (4000, 60)
        assert X.chunks is not None
        assert X.compression is not None
        assert {"gene", "cell_line", "gem_group"} <= set(file["obs"])
    row = r"^\| `(\w+)` \| (\d+) \| [\d,]+ \| [\d,]+ \| ([\d,]+) \| ([\d,]+) \|$"
    rows = {rule: (int(n), int(own), asked) for rule, n, own, asked in re.findall(row, text, re.M)}
    assert {
        "build_cells",
        "fit_expert",
        "expect_responses",
        "train_arm",
        "predict_arm",
        "evaluate_arm",
        "write_report",
    } <= set(rows)
    assert rows["evaluate_arm"][0] == 5
    assert rows["train_arm"][2] == "8,000"
    assert all(20 < own < 2000 for _, own, _ in rows.values()), "own memory, not what is mapped"
    assert (tmp_path / "results/rehearsal/report.html").is_file()
