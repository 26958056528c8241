"""``summary.html`` of ``ptrag predict``: its numbers are those of the files, its size bounded."""

import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest

import ptrag
from ptrag.base.files import read_table
from ptrag.base.names import Pair
from ptrag.cli import main
from ptrag.prediction.files import PredictionFiles, written_predictions
from ptrag.prediction.lines import NEVER, Place
from ptrag.prediction.predict import Report
from ptrag.prediction.prediction import Prediction, evidence_table
from ptrag.report.answers import BYTES, kept_of_each, write_answers
from ptrag.simulate.example import example_screen


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A folder that the command has written: a measured gene, a new one, one without a word."""
    folder = tmp_path_factory.mktemp("answered")
    screen = example_screen()
    ptrag.fit(screen, cell_line="cell_line", n_genes=None).save(folder / "bundle")
    own = (screen.obs["cell_line"] == "rpe1") & (screen.obs["perturbation"] == "control")
    controls = screen[own.to_numpy()].copy()
    controls.obs["cell_line"] = "<b>mine</b>"
    controls.write_h5ad(folder / "own.h5ad")
    measured = sorted(set(screen.obs["perturbation"]) - {"control"})[0]
    code = main([
        "predict", str(folder / "bundle"), str(folder / "own.h5ad"), "--perturbations", measured,
        "TP53", "NOGENE1", "--allow-fallback", "--no-cells", "--out", str(folder / "out"),
    ])  # fmt: skip
    assert code == 0
    return folder / "out", measured


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(text)


def test_the_page_has_the_numbers_of_the_files(answered):
    out, measured = answered
    data = data_of((out / "summary.html").read_text())
    profiles = anndata.read_h5ad(out / "profiles.h5ad")
    summary = read_table(out / "summary.tsv").set_index("perturbation")
    evidence = read_table(out / "evidence.tsv")
    assert (
        [pair[0] for pair in data["pairs"]] == list(summary.index) == [measured, "TP53", "NOGENE1"]
    )
    for row, pair in enumerate(data["pairs"]):
        name, level, strength, moving, confidence, nearest, similarity, top, made_of, _ = pair
        of = summary.loc[name]
        assert data["levels"][level] == of["level"]
        assert strength == pytest.approx(of["strength"], rel=6e-3)
        if name == "NOGENE1":
            assert moving is None and confidence is None and nearest is None and not made_of
            continue
        assert moving == of["n_moving"]
        assert confidence == pytest.approx(of["confidence"], rel=6e-3)
        assert data["names"][nearest] == of["nearest"]
        assert similarity == pytest.approx(of["similarity"], rel=6e-3)
        delta = profiles.layers["delta"][row]
        rises = [gene for gene, value, *_ in top if value > 0]
        np.testing.assert_array_equal(rises, np.argsort(-delta)[: min(10, (delta > 0).sum())])
        for gene, value, lower, upper, p in top:
            assert value == pytest.approx(delta[gene], rel=6e-3)
            assert lower == pytest.approx(profiles.layers["lower"][row, gene], rel=6e-3)
            assert upper == pytest.approx(profiles.layers["upper"][row, gene], rel=6e-3)
            assert p == pytest.approx(profiles.layers["p_moves"][row, gene], rel=6e-3)
        rows = evidence[evidence["perturbation"] == name].set_index("candidate")
        assert {data["names"][at] for at, *_ in made_of} == set(rows.index.dropna())
        for at, _, weight, effect in made_of:
            assert weight == pytest.approx(rows["gate"][data["names"][at]], rel=6e-3)
            assert effect == pytest.approx(rows["effect"][data["names"][at]], rel=6e-3)


def test_the_page_says_what_to_check_and_where_the_line_stands(answered):
    out, measured = answered
    html = (out / "summary.html").read_text()
    data = data_of(html)
    checks = {pair[0]: [data["checks"][at] for at in pair[-1]] for pair in data["pairs"]}
    assert any("mean response of the line" in check for check in checks["NOGENE1"])
    assert any("Nobody perturbed this gene" in check for check in checks["TP53"])
    assert not any("Nobody perturbed" in check for check in checks[measured])
    assert "is none of the bundle&#39;s: control profile nearest to rpe1 (r = 1.000" in html
    assert "X holds raw counts: normalised to 10,000 per cell" in html
    assert "SIMULATED DATA" in html


def test_the_page_needs_nothing_else_and_no_name_becomes_a_tag(answered):
    out, _ = answered
    html = (out / "summary.html").read_text()
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(", html)
    assert "<b>mine" not in html


def report_of(folder, n_pairs, genes):
    """A report on made predictions: pair i changes gene g by a number drawn by i."""
    files = PredictionFiles.into(folder, None)
    pairs = [Pair("own", f"G{i}") for i in range(n_pairs)]
    rng = np.random.default_rng(0)
    nothing = np.empty((0, len(genes)), np.float32)
    with written_predictions(files, pairs, {}, 0, genes, {"arm": "made"}) as write:
        for pair in pairs:
            delta = rng.normal(size=len(genes))
            prediction = Prediction(
                delta + 9, delta, nothing, np.arange(0),
                evidence_table([(f"k562:G{i}", 0.5, 0.123, 0.1 + i) for i in range(8)]),
                np.abs(delta), np.full(len(genes), 0.25),
            )  # fmt: skip
            write(prediction, NEVER, ("G1", 0.987))
            del pair
    return Report(files, write.summary(), Place("own", False, {"k562": 0.9}), [])


def test_the_page_stays_small_however_many_pairs(tmp_path, monkeypatch):
    genes = [f"GENE{i}" for i in range(60)]
    about = {"genes": genes, "arm": "made", "simulated": False}
    few, many = (report_of(tmp_path / str(n), n, genes) for n in (20, 400))
    monkeypatch.setattr("ptrag.report.answers.BYTES", 200_000)
    monkeypatch.setattr("ptrag.report.answers.MOST_PAIRS", 300)
    write_answers(few, about, tmp_path / "few.html")
    write_answers(many, about, tmp_path / "many.html")
    data = data_of((tmp_path / "many.html").read_text())
    kept = many.summary.nlargest(300, "strength")["perturbation"]
    assert {pair[0] for pair in data["pairs"]} == set(kept)
    assert {len(pair[7]) for pair in data["pairs"]} == {2 * kept_of_each(300)}
    largest = [data["names"][at] for at, *_ in data["pairs"][0][8]]
    assert largest == [f"k562:G{i}" for i in range(7, 7 - kept_of_each(300), -1)]
    assert (tmp_path / "many.html").stat().st_size < 1.3 * 200_000
    whole = data_of((tmp_path / "few.html").read_text())
    assert {len(pair[7]) for pair in whole["pairs"]} == {20}
    assert "It has the 300 strongest of 400 perturbations" in (tmp_path / "many.html").read_text()


def test_what_is_kept_of_each_pair_never_grows_with_their_number():
    kept = pd.Series([kept_of_each(n) for n in (1, 100, 2000, 10_000, 25_000, 10**6)])
    assert kept.is_monotonic_decreasing
    assert kept.iloc[0] == 10 and kept.iloc[-1] == 3
    assert BYTES >= 25_000 * 3 * 3 * 30
