import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from ptrag.base.errors import PtragError
from ptrag.base.names import Pair
from ptrag.cells.counts import to_log1p
from ptrag.prediction import counts_file
from ptrag.prediction.counts_file import VCC_CELLS, add_counts, write_vcc2026
from ptrag.prediction.files import PredictionFiles, written_predictions
from ptrag.prediction.lines import NEVER
from ptrag.prediction.prediction import GivenControls, Prediction, evidence_table

GENES = [f"G{i}" for i in range(6)]
PAIRS = [Pair("k562", "A"), Pair("k562", "B"), Pair("rpe1", "A")]


@pytest.fixture
def predicted(tmp_path):
    """Predicted cells that are whole counts, and these counts."""

    def make(n_cells):
        rng = np.random.default_rng(0)
        controls = {}
        for line in ("k562", "rpe1"):
            counts = np.maximum(rng.poisson(3, (30, 6)), [[1, 0, 0, 0, 0, 0]])
            counts[:, 0] = 1
            units = 1e4 / rng.integers(800, 3000, 30)
            names = [f"{line}{i}" for i in range(30)]
            controls[line] = GivenControls(line, to_log1p(counts, units), names)
        files = PredictionFiles.beside(tmp_path / "predictions.h5ad")
        everything = []
        with written_predictions(files, PAIRS, controls, n_cells, GENES, {"arm": "x"}) as write:
            for pair in PAIRS:
                given = controls[pair.cell_line]
                rows = given.drawn(pair.perturbation, n_cells)
                counts = rng.poisson(2, (n_cells, 6))
                cells = to_log1p(counts, given.units[rows])
                prediction = Prediction(np.zeros(6), np.zeros(6), cells, rows, evidence_table([]))
                write(prediction, NEVER, (None, None))
                everything.append(counts)
        return files.cells, controls, np.concatenate(everything)

    return make


def test_the_layer_of_counts_is_exact_and_the_rest_as_before(predicted, monkeypatch):
    monkeypatch.setattr(counts_file, "_BLOCK", 7)  # several blocks
    path, controls, counts = predicted(16)
    before = read_h5ad(path)
    add_counts(path, controls)
    after = read_h5ad(path)
    np.testing.assert_array_equal(after.layers["counts"].toarray(), counts)
    assert after.layers["counts"].dtype == np.int32
    np.testing.assert_array_equal(after.X, before.X)
    pd.testing.assert_frame_equal(after.obs, before.obs)


def test_the_challenge_gets_whole_counts_and_its_own_columns(predicted, tmp_path, monkeypatch):
    monkeypatch.setattr(counts_file, "_BLOCK", 500)
    path, controls, counts = predicted(VCC_CELLS)
    write_vcc2026(path, controls, tmp_path / "vcc.h5ad")
    data = read_h5ad(tmp_path / "vcc.h5ad")
    np.testing.assert_array_equal(data.X.toarray(), counts)
    assert list(data.obs) == ["target_gene", "context"]
    sizes = data.obs.value_counts(["context", "target_gene"]).to_dict()
    assert {key: n for key, n in sizes.items() if n} == {tuple(pair): VCC_CELLS for pair in PAIRS}
    assert list(data.var_names) == GENES


def test_another_number_of_cells_is_refused_and_leaves_nothing(predicted, tmp_path):
    path, controls, _ = predicted(16)
    with pytest.raises(PtragError, match=r"16 cells of k562 A.*--cells 400"):
        write_vcc2026(path, controls, tmp_path / "vcc.h5ad")
    assert not (tmp_path / "vcc.h5ad").exists()


def test_a_cell_of_too_many_counts_is_refused(predicted, tmp_path, monkeypatch):
    path, controls, counts = predicted(VCC_CELLS)
    monkeypatch.setattr(counts_file, "MOST_COUNTS", int(counts.sum(axis=1).max()) - 1)
    with pytest.raises(PtragError, match="the challenge takes"):
        write_vcc2026(path, controls, tmp_path / "vcc.h5ad")
