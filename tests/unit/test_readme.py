"""The README's commands for one's own screen and controls work as they stand."""

import re
import shlex
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest

from ptrag.cli import main
from ptrag.simulate.example import example_screen


@pytest.fixture
def commands(root):
    section = (root / "README.md").read_text().split("## Your own controls")[1].split("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, flags=re.M | re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The files that the README names: a screen, controls of another line, its real cells."""
    screen = example_screen()
    labels = screen.obs["perturbation"].astype(str)
    controls = screen[((labels == "control") & (screen.obs["cell_line"] == "rpe1")).to_numpy()]
    anndata.AnnData(controls.X, var=controls.var).write_h5ad(tmp_path / "my_controls.h5ad")
    screen.write_h5ad(tmp_path / "my_screen.h5ad")
    X = np.asarray(controls.X.todense() if hasattr(controls.X, "todense") else controls.X, float)
    X = np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    names = np.array(["control", "TP53", "MYC"])[np.arange(len(X)) % 3]
    obs = pd.DataFrame({"perturbation": names, "cell_line": "my_line"}, index=controls.obs_names)
    anndata.AnnData(X, obs, controls.var).write_h5ad(tmp_path / "real.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_work_as_they_stand(commands, here):
    assert [words[:2] for words in commands] == [
        ["ptrag", "fit"], ["ptrag", "predict"], ["ptrag", "evaluate"],
    ]  # fmt: skip
    for _, *words in commands:
        if words[0] == "evaluate":  # of any model: here of ours
            shutil.copyfile(here / "predicted/cells.h5ad", here / "predicted_by_model.h5ad")
        assert main(words) == 0, words
    assert sorted(path.name for path in (here / "predicted").iterdir()) == [
        "cells.h5ad", "evidence.tsv", "profiles.h5ad", "summary.html", "summary.tsv",
    ]  # fmt: skip
    assert set(pd.read_csv(here / "metrics.tsv", sep="\t")["perturbation"]) == {"TP53", "MYC"}
