"""The README's commands for one's own screen and controls work as they stand."""

import re
import shlex

import anndata
import numpy as np
import pandas as pd
import pytest

from ptrag.cli import main
from ptrag.simulate.example import example_screen


@pytest.fixture
def section(root):
    text = (root / "README.md").read_text()
    return text.split("## Your own screen, your own controls")[1].split("\n## ")[0]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The files that the README names: a screen, controls of another line, its real cells."""
    screen = example_screen()
    labels = screen.obs["perturbation"].astype(str)
    controls = screen[((labels == "control") & (screen.obs["cell_line"] == "rpe1")).to_numpy()]
    anndata.AnnData(controls.X, var=controls.var).write_h5ad(tmp_path / "controls.h5ad")
    obs = pd.DataFrame(
        {"gene": labels.replace("control", "non-targeting"), "cell_type": screen.obs["cell_line"]}
    )
    anndata.AnnData(screen.X, obs, screen.var).write_h5ad(tmp_path / "screen.h5ad")
    X = np.asarray(controls.X.todense() if hasattr(controls.X, "todense") else controls.X, float)
    X = np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    names = np.array(["control", "TP53", "MYC"])[np.arange(len(X)) % 3]
    obs = pd.DataFrame({"perturbation": names, "cell_line": "a549"}, index=controls.obs_names)
    anndata.AnnData(X, obs, controls.var).write_h5ad(tmp_path / "real.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_python_work_as_they_stand(section, here):
    shell, python = re.findall(r"^```(?:python)?\n(.*?)^```", section, flags=re.M | re.S)
    commands = [shlex.split(line) for line in shell.splitlines() if line]
    assert [words[:2] for words in commands] == [
        ["ptrag", "fit"], ["ptrag", "predict"], ["ptrag", "evaluate"],
    ]  # fmt: skip
    for _, *words in commands:
        assert main(words) == 0, words
    assert sorted(path.name for path in (here / "predicted").iterdir()) == [
        "cells.h5ad", "evidence.tsv", "profiles.h5ad", "summary.tsv",
    ]  # fmt: skip
    assert set(pd.read_csv(here / "metrics.tsv", sep="\t")["perturbation"]) == {"TP53", "MYC"}
    names = {}
    exec(python, names)
    written = anndata.read_h5ad(here / "predicted/profiles.h5ad")
    np.testing.assert_array_equal(names["predicted"].profiles.X, written.X)
