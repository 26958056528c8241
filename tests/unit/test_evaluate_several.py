"""``ptrag evaluate`` of several predictions in counts: conventions, floors, challenge, page."""

import anndata
import numpy as np
import pandas as pd
import pytest
from challenge_cases import made_screen, predictions
from scipy import sparse

import ptrag
from ptrag.base.defaults import SCORING, STATISTICS
from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cli import main
from ptrag.comparison.outside import compare_predictions, named
from ptrag.evaluation.conventions import recognise
from ptrag.evaluation.files import evaluate_several
from ptrag.metrics.vcc2026 import MEMBERS, Context, Measured

SETTINGS = SCORING | {"n_pcs": 5}


def write(path, genes, blocks, column="target_gene"):
    names = np.repeat(list(blocks), [len(cells) for cells in blocks.values()])
    obs = pd.DataFrame({column: names}, index=np.arange(len(names)).astype(str))
    X = sparse.csr_matrix(np.concatenate(list(blocks.values())))
    anndata.AnnData(X, obs, pd.DataFrame(index=genes)).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def screen():
    return made_screen(n_cells=30, n_controls=60, genes=60, moved=(8, 12, 16, 20, 24, 28, 30, 30))


@pytest.fixture(scope="module")
def files(screen, tmp_path_factory):
    """Real counts with controls ``ctrl``, half the response, and controls pasted."""
    folder, made = tmp_path_factory.mktemp("several"), predictions(screen)
    real = write(folder / "real.h5ad", screen.genes, {"ctrl": screen.controls, **screen.cells})
    half = write(folder / "half.h5ad", screen.genes, made["half"])
    return real, half, write(folder / "pasted.h5ad", screen.genes, made["control pasted"])


@pytest.fixture(scope="module")
def evaluated(files):
    real, half, pasted = files
    predicted = {"half": half, "pasted": pasted}
    return evaluate_several(real, predicted, evaluation=SETTINGS, baselines=True)


def test_counts_are_scored_as_counts(screen, evaluated):
    groups, half = [*screen.cells.values()], [*predictions(screen)["half"].values()]
    real = Measured.of(screen.controls, groups.__getitem__, len(groups))
    measured = Measured.against(real.control, real.pool, half.__getitem__, len(half))
    expected = Context(real.observed, screen.targets, screen.genes).score(measured)
    table = evaluated.tables["half"]
    order = [*screen.cells]
    for name in MEMBERS:
        found = table[table["metric"] == name].set_index("perturbation")["value"][order]
        np.testing.assert_allclose(found, expected[name], atol=1e-6, err_msg=name)
    assert any("counts" in note for note in evaluated.notes)


def test_threads_change_no_number(files, evaluated):
    real, half, _ = files
    table = evaluate_several(real, {"half": half}, evaluation=SETTINGS, threads=3).tables["half"]
    pd.testing.assert_frame_equal(table, evaluated.tables["half"])


def test_the_baselines_know_nothing(evaluated):
    mean = {
        name: table.groupby("metric")["value"].mean()
        for name, table in {**evaluated.tables, **evaluated.baselines}.items()
    }
    for name in ("control", "mean_of_others"):
        assert mean[name]["pds_cosine"] == pytest.approx(0.5)
        assert mean[name]["mode_collapse"] > 0.8
        assert mean[name]["mse"] > mean["half"]["mse"]
        assert mean[name]["vcc_fold_error"] > mean["half"]["vcc_fold_error"]
    assert mean["control"]["pearson_delta"] == 0


def test_one_number_of_a_line_carries_no_claim(evaluated):
    compared = compare_predictions(evaluated.tables, evaluated.baselines, "real", STATISTICS)
    rows = compared.tables.contrasts[compared.tables.contrasts["metric"] == "mode_collapse"]
    assert len(rows) == 5 and set(rows["better"]) == {"neither"}
    assert set(rows["barred"]) == {"one number of a line"}
    assert (compared.tables.contrasts["better"] == "arm").any()


def test_the_command_compares_and_writes_a_page(files, tmp_path, capsys):
    out, page = tmp_path / "m.tsv", tmp_path / "page.html"
    asked = ["evaluate", *map(str, files), "--out", str(out), "--report", str(page), "--n-pcs", "5"]
    assert main(asked) == 0
    printed, html = capsys.readouterr().out, page.read_text()
    for words in ("column 'target_gene'", "controls: ctrl", "score of the 2026 challenge, half"):
        assert words in printed
    better = [line for line in printed.splitlines() if line.split()[1:3] == ["half", "pasted"]]
    assert better and all("better" in line for line in better if "pearson_delta" in line)
    assert set(read_table(out)["prediction"]) == {"half", "pasted"}
    for words in ("mean_of_others", "half.h5ad", "Virtual Cell Challenge 2026", "<svg", "nobody"):
        assert words in html
    assert f"ptrag {ptrag.__version__}" in html and "Report of" in html
    headline = html.split('<p class="headline">')[1].split("</p>")[0]
    assert "split" not in headline and headline.count(files[0].name) == 1
    assert "http" not in html.replace("http://www.w3.org", "")  # it loads nothing
    assert main([*asked[:-4], "--report", str(files[1])]) == 1
    assert "which is read" in capsys.readouterr().err


def test_what_is_not_recognised_is_asked_for(files, tmp_path, screen):
    strange = write(tmp_path / "s.h5ad", screen.genes, screen.cells, column="guide")
    with pytest.raises(PtragError, match="--perturbation"):
        recognise([strange], None, None, None)
    with pytest.raises(PtragError, match="--control"):
        recognise([strange], "guide", None, None)
    assert recognise(files, None, None, None).control == ["ctrl"]
    assert recognise(files, None, None, "mine").control == "mine"


def test_counts_and_fractions_in_one_file_are_refused(files, tmp_path, screen):
    mixed = {name: cells.copy() for name, cells in screen.cells.items()}
    mixed["GX7"][-1, 3] = 1.5
    path = write(tmp_path / "mixed.h5ad", screen.genes, mixed)
    with pytest.raises(PtragError, match=r"mixed.h5ad: X holds|log1p"):
        evaluate_several(files[0], {"mixed": path}, evaluation=SETTINGS)


def test_names_of_predictions():
    assert [*named(["a/state_x.h5ad", "b.h5ad"])] == ["state_x", "b"]
    assert [*named(["a/p.h5ad", "b/p.h5ad"])] == ["a/p.h5ad", "b/p.h5ad"]
    assert [*named(["ridge.h5ad", "x@y.h5ad"])] == ["ridge.h5ad", "x_y.h5ad"]
    with pytest.raises(PtragError, match="twice"):
        named(["p.h5ad", "p.h5ad"])
