"""The public names: light to import, documented with examples that run, typed."""

import doctest
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
from small_screen import make_store

import ptrag
from ptrag.base.errors import PtragError
from ptrag.prediction import predictor
from ptrag.simulate import example
from ptrag.simulate.example import example_screen


@pytest.mark.parametrize("module", ["ptrag.api", predictor, example])
def test_every_example_gives_what_it_says(module):
    if isinstance(module, str):
        module = sys.modules.get(module) or __import__(module, fromlist=["_"])
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("torch", "scanpy", "faiss", "anndata", "pandas", "numpy")
    program = (
        f"import sys, ptrag; print([m for m in {heavy} if m in sys.modules]);"
        "print(ptrag.__all__ == sorted(ptrag.__all__) and 'fit' in dir(ptrag))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert printed[:2] == ["[]", "True"]


def test_every_public_name_is_there_and_others_are_not():
    for name in ptrag.__all__:
        assert getattr(ptrag, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = ptrag.predict


def test_the_types_are_shipped(root):
    assert (Path(ptrag.__file__).parent / "py.typed").exists()
    assert '"py.typed"' in (root / "pyproject.toml").read_text()


def test_responses_are_means_less_the_mean_of_all_controls(tmp_path):
    store = make_store(tmp_path / "cells.h5ad")
    data = anndata.read_h5ad(store.path)
    measured = ptrag.responses(data, cell_line="cell_line", scale="log1p")
    for row, (line, name) in enumerate(
        zip(measured.obs["cell_line"], measured.obs["perturbation"], strict=True)
    ):
        here = (data.obs["cell_line"] == line).to_numpy()
        cells = data.X[here & (data.obs["perturbation"] == name).to_numpy()].astype(float)
        control = data.X[here & (data.obs["perturbation"] == "control").to_numpy()].astype(float)
        np.testing.assert_allclose(measured.X[row], cells.mean(0) - control.mean(0), atol=1e-6)
        own = cells.var(0, ddof=1) / len(cells) + control.var(0, ddof=1) / len(control)
        np.testing.assert_allclose(measured.layers["se"][row], np.sqrt(own), atol=1e-6)
        np.testing.assert_allclose(measured.varm["control_mean"][line], control.mean(0), atol=1e-6)


@pytest.fixture(scope="module")
def fitted():
    return ptrag.fit(example_screen(), cell_line="cell_line", n_genes=None)


def test_a_bundle_is_the_same_in_memory_saved_loaded_and_saved_again(fitted, tmp_path):
    screen = example_screen()
    own = screen[(screen.obs["perturbation"] == "control").to_numpy()]
    fitted.save(tmp_path / "one")
    loaded = ptrag.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    predictions = [
        bundle.predict(own, "TP53", cell_line="rpe1", cells=4)
        for bundle in (fitted, loaded, ptrag.load(tmp_path / "two"))
    ]
    for other in predictions[1:]:
        np.testing.assert_array_equal(other.profiles.X, predictions[0].profiles.X)
        np.testing.assert_array_equal(other.cells.X, predictions[0].cells.X)
        assert other.summary.equals(predictions[0].summary)
        assert other.evidence.equals(predictions[0].evidence)


def test_the_same_screen_gives_the_same_bytes(fitted, tmp_path):
    fitted.save(tmp_path / "one")
    ptrag.fit(example_screen(), cell_line="cell_line", n_genes=None).save(tmp_path / "two")
    for path in (tmp_path / "one/fitted").iterdir():
        assert path.read_bytes() == (tmp_path / "two/fitted" / path.name).read_bytes()


def test_what_is_no_cells_is_named(fitted):
    with pytest.raises(PtragError, match="controls: is a dict; give an AnnData or a path"):
        fitted.predict({}, "TP53")


def test_messages_call_cells_in_memory_by_the_name_of_the_argument(fitted, caplog):
    own = example_screen()
    with pytest.raises(PtragError, match=r"^controls: obs 'cell_line' has 2 lines"):
        fitted.predict(own, "TP53")
    with pytest.raises(PtragError, match=r"^screen: no pair has 999 cells"):
        ptrag.fit(own, cell_line="cell_line", min_cells=999)
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("screen: 24 of 24 pairs are left out") for line in said)
    assert not any("screen.h5ad" in line for line in said)


THREADS = """
import sys, numpy, ptrag
from ptrag.simulate.example import example_screen
screen = example_screen()
bundle = ptrag.fit(screen, cell_line="cell_line", n_genes=None)
bundle.save(sys.argv[1])
"""


def test_a_bundle_of_another_thread_setting_predicts_the_same(fitted, tmp_path, monkeypatch):
    own = example_screen()
    own = own[(own.obs["perturbation"] == "control").to_numpy()]
    profiles = []
    for threads in ("1", "2"):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        folder = tmp_path / threads
        subprocess.run([sys.executable, "-c", THREADS, str(folder)], check=True)
        made = ptrag.load(folder).predict(own, ["TP53", "MYC"], cell_line="rpe1", cells=0)
        profiles.append(made.profiles.X)
    np.testing.assert_allclose(profiles[0], profiles[1], atol=1e-6)
