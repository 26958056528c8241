"""The commands for an own screen and own controls work as they stand, in README and tutorial."""

import shlex
import shutil
import subprocess

import anndata
import numpy as np
import pandas as pd
import pytest
from documents import FENCE, split

from ptrag.cli import main
from ptrag.simulate.example import example_screen

WRITTEN = ["cells.h5ad", "evidence.tsv", "profiles.h5ad", "summary.html", "summary.tsv"]


def in_blocks(text):
    return [one for _, block in FENCE.findall(text) for one in split(block)]


@pytest.fixture
def commands(root):
    section = (root / "README.md").read_text().split("## Your own controls")[1].split("\n## ")[0]
    return [shlex.split(one) for one in in_blocks(section)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The files that both name: a screen, controls of another line, its real cells."""
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
    assert sorted(path.name for path in (here / "predicted").iterdir()) == WRITTEN
    assert set(pd.read_csv(here / "metrics.tsv", sep="\t")["perturbation"]) == {"TP53", "MYC"}


def test_a_first_prediction_is_the_six_commands_of_the_page_that_has_their_times(root, here):
    page = (root / "docs/tutorials/first-prediction.md").read_text()
    clone, env, activate, fit, predict, table = in_blocks(page)
    assert (clone, activate) == (
        "git clone REPOSITORY ptrag && cd ptrag", "source .venv/bin/activate",
    )  # fmt: skip
    plan = ["make", "-n", *shlex.split(env)[1:], f"VENV={here}/.venv"]
    planned = subprocess.run(plan, cwd=root, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    assert f"-m venv {here}/.venv" in planned.stdout, "the environment is where the page enters it"
    for command in (fit, predict):
        assert main(shlex.split(command)[1:]) == 0, command
    shown = subprocess.run(shlex.split(table), capture_output=True, text=True, check=True).stdout
    header, *rows = [line.split("\t") for line in shown.splitlines()]
    assert [row[header.index("perturbation")] for row in rows] == ["MYC", "TP53"]
    assert {row[header.index("level")] for row in rows} == {"never perturbed"}
