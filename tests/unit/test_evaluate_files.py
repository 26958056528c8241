"""``ptrag evaluate``: any two h5ad files, and every way in which they do not belong together."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scoring_cases import GENES, PERTURBATIONS, make_store

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.controls import ALL, YARDSTICK, deal_controls
from ptrag.cells.store_writer import SINGLE_BATCH
from ptrag.cli import main
from ptrag.evaluation.files import evaluate_files
from ptrag.metrics.registry import metric_names

COLUMNS = {"perturbation": "gene", "cell_line": "cell_type", "control": "non-targeting"}
PREDICTED = PERTURBATIONS[:6]


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Real cells, and as prediction their controls moved by half the true shift."""
    folder = tmp_path_factory.mktemp("sides")
    store, shifts = make_store(folder)
    obs = pd.DataFrame({
        "gene": store.obs["perturbation"].astype(str).replace("control", "non-targeting"),
        "cell_type": store.obs["cell_line"].astype(str),
    })  # fmt: skip
    real = anndata.AnnData(np.array(store.X), obs, pd.DataFrame(index=GENES))
    blocks, names = [], []
    for line in store.lines:
        for p in PREDICTED:
            cells = np.maximum(store.controls(line, ALL)[:20] + 0.5 * shifts[line, p], 0)
            blocks.append(cells.astype(np.float32))
            names += [(p, line)] * len(cells)
    obs = pd.DataFrame(names, columns=["gene", "cell_type"])
    obs.index = obs.index.astype(str)
    return real, anndata.AnnData(np.concatenate(blocks), obs, pd.DataFrame(index=GENES))


def write(folder, real, predicted):
    paths = folder / "real.h5ad", folder / "predicted.h5ad"
    for path, cells in zip(paths, (real, predicted), strict=True):
        cells.write_h5ad(path)
    return paths


def mean(cells, gene, part=None):
    """Mean of a gene's cells in line a; of those dealt into one ``part``."""
    rows = (cells.obs["gene"] == gene) & (cells.obs["cell_type"] == "a")
    if part is not None:
        rows &= deal_controls(labelled(cells)) == part
    return cells[rows.to_numpy()].X.astype(float).mean(axis=0)


def labelled(cells):
    names = cells.obs["gene"].astype(str).replace("non-targeting", "control")
    lines = cells.obs["cell_type"].astype(str)
    return pd.DataFrame({"cell_line": lines, "perturbation": names, "batch": SINGLE_BATCH})


def pearson_delta(table):
    at = (table["cell_line"] == "a") & (table["perturbation"] == "GX1")
    return table[at].set_index("metric")["value"]["pearson_delta"]


KEEP = [gene != "GX1" for gene in GENES]


def test_values_are_those_of_the_cells(sides, tmp_path):
    real, predicted = sides
    table = evaluate_files(*write(tmp_path, *sides), tmp_path / "m.tsv", **COLUMNS)
    assert set(table["perturbation"]) == set(PREDICTED) and set(table["role"]) == {"test"}
    assert list(dict.fromkeys(table["metric"])) == metric_names()
    at = (table["cell_line"] == "a") & (table["perturbation"] == "GX1")
    value = table[at].set_index("metric")["value"]

    deltas = [
        mean(predicted, "GX1") - mean(real, "non-targeting"),
        mean(real, "GX1") - mean(real, "non-targeting", YARDSTICK),
    ]
    expected = np.corrcoef(*(delta[KEEP] for delta in deltas))[0, 1]
    assert value["pearson_delta"] == pytest.approx(expected)
    assert value["mse"] == pytest.approx(((mean(predicted, "GX1") - mean(real, "GX1")) ** 2).mean())
    assert np.isnan(value["pearson_systema"])  # no training pair
    others = np.mean([mean(real, name) for name in PREDICTED if name != "GX1"], axis=0)
    floor = table[at].set_index("metric")["floor"]
    assert floor["mse"] == pytest.approx(((others - mean(real, "GX1")) ** 2).mean())
    assert table["ceiling"].notna().any()
    pd.testing.assert_frame_equal(read_table(tmp_path / "m.tsv"), table, rtol=1e-9)


def test_order_and_storage_of_genes_and_of_predicted_cells_do_not_matter(sides, tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    one = evaluate_files(*write(tmp_path / "one", *sides), tmp_path / "one.tsv", **COLUMNS)
    rng = np.random.default_rng(0)
    real, predicted = sides
    predicted = predicted[rng.permutation(len(predicted)), rng.permutation(len(GENES))].copy()
    real = real.copy()
    real.X = sparse.csr_matrix(real.X)
    two = evaluate_files(*write(tmp_path / "two", real, predicted), tmp_path / "two.tsv", **COLUMNS)
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-7)


def test_predicted_deltas_are_measured_from_the_predictions_own_controls(sides, tmp_path):
    """Controls of line a beside the predictions, moved by a constant: line b's stay as they are."""
    real, predicted = sides
    plain = evaluate_files(*write(tmp_path, *sides), tmp_path / "m.tsv", **COLUMNS, ceilings=False)
    rows = (real.obs["gene"] == "non-targeting") & (real.obs["cell_type"] == "a")
    own = real[rows.to_numpy()][:25].copy()
    own.X = own.X + np.linspace(0, 1, len(GENES), dtype=np.float32)
    more = anndata.concat([predicted, own])
    more.obs_names_make_unique()
    paths = write(tmp_path, real, more)
    again = evaluate_files(*paths, tmp_path / "m.tsv", **COLUMNS, ceilings=False)
    deltas = [
        mean(predicted, "GX1") - own.X.astype(float).mean(axis=0),
        mean(real, "GX1") - mean(real, "non-targeting", YARDSTICK),
    ]
    expected = np.corrcoef(*(delta[KEEP] for delta in deltas))[0, 1]
    assert pearson_delta(again) == pytest.approx(expected)
    assert abs(pearson_delta(plain) - expected) > 0.01
    in_b = [table[table["cell_line"] == "b"] for table in (plain, again)]
    pd.testing.assert_frame_equal(*in_b)
    more = anndata.concat([predicted, own[:1]])
    more.obs_names_make_unique()
    with pytest.raises(PtragError, match="one control cell in 'a'; give at least 2"):
        evaluate_files(*write(tmp_path, real, more), tmp_path / "m.tsv", **COLUMNS)


def spoil(change):
    def spoilt(cells):
        cells = cells.copy()
        changed = change(cells)
        return cells if changed is None else changed

    return spoilt


def counts(cells):
    cells.X = np.round(np.expm1(cells.X)).astype(np.float32)


def unlogged(cells):
    cells.X = 1000 * np.expm1(cells.X)


def other_total(cells):
    cells.X = np.log1p(100 * np.expm1(cells.X))


def negative(cells):
    cells.X = cells.X - 3


def missing(cells):
    cells.X[0, 0] = np.nan


def without_controls(cells):
    return cells[(cells.obs["gene"] != "non-targeting").to_numpy()].copy()


@pytest.mark.parametrize(
    ("side", "change", "words"),
    [
        (0, counts, "other scale than"),
        (1, counts, "other scale than"),
        (1, unlogged, "neither counts nor logarithms"),
        (1, other_total, "other scale than"),
        (1, negative, "negative"),
        (1, missing, "missing"),
        (1, lambda cells: cells[:, 3:].copy(), "3 genes of .* are missing, such as 'GX0'"),
        (1, lambda cells: cells.obs.__setitem__("gene", "NOVEL"), "no real cells of 'NOVEL'"),
        (1, lambda cells: cells.obs.__setitem__("cell_type", "c"), "no cell line 'c'"),
        (0, without_controls, "no control"),
        (0, lambda cells: cells.obs.__delitem__("gene"), "no obs column 'gene'"),
        (1, lambda cells: cells[::20].copy(), "one predicted cell"),
        (1, lambda cells: cells[:0].copy(), "nothing to score"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_an_error(sides, tmp_path, side, change, words):
    both = list(sides)
    both[side] = spoil(change)(both[side])
    paths = write(tmp_path, *both)
    with pytest.raises(PtragError, match=words):
        evaluate_files(*paths, tmp_path / "m.tsv", **COLUMNS)
    assert not (tmp_path / "m.tsv").exists()


def test_on_the_command_line(sides, tmp_path, capsys):
    real, predicted = map(str, write(tmp_path, *sides))
    out = tmp_path / "m.tsv"
    asked = [
        "evaluate", real, predicted, "--out", str(out), "--perturbation", "gene", "--cell-line",
        "cell_type", "--control", "non-targeting", "--n-pcs", "5", "--compat",
    ]  # fmt: skip
    assert main(asked) == 0
    printed = capsys.readouterr().out
    table = read_table(out)
    assert set(table["metric"]) == set(metric_names(on_request=True))
    row = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["mse"])
    assert float(row[2]) == pytest.approx(table[table["metric"] == "mse"]["value"].mean(), rel=1e-3)
    assert main([*asked[:-1], "--control", "controll"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    printed = capsys.readouterr().out
    for words in ("log1p", "--control LABEL", "example: ptrag evaluate", "not numbers"):
        assert words in " ".join(printed.split())
