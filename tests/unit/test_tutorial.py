"""The tutorial's code runs as it stands, in less than a minute of one CPU."""

import re
import time

import pytest

MOST_SECONDS = 60


@pytest.fixture
def blocks(root):
    text = (root / "docs/tutorial-own-screen.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)


def test_the_tutorial_runs_and_is_quick(blocks, real_data, tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/papalexi.h5ad").symlink_to(real_data / "papalexi.h5ad")
    monkeypatch.chdir(tmp_path)
    names, began = {}, time.process_time()
    assert len(blocks) > 5
    for block in blocks:
        exec(compile(block, "docs/tutorial-own-screen.md", "exec"), names)
    assert time.process_time() - began < MOST_SECONDS
    assert (tmp_path / "bundle/bundle.json").is_file()
    assert {"IFNGR1", "IFNGR2"} <= set(names["strongest"])
    assert list(names["predicted"].summary["perturbation"]) == names["genes"]
    assert set(names["predicted"].summary["level"]) == {"never perturbed"}
    printed = capsys.readouterr().out
    assert "response_expert  Pearson delta" in printed and "line_mean" in printed
