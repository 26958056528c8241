"""The pages of single pairs: the numbers they carry, and that a reader finds them."""

import base64
import json
import re
import shutil

import anndata
import numpy as np
import pytest
from report_cases import DATE, FEW, SETTINGS, browsed, plant

from ptrag.base.names import PAIR
from ptrag.report import maps, single_pairs
from ptrag.report.gather import gather
from ptrag.report.page import write_report


def numbers(packed):
    """Read what :func:`single_pairs.packed` wrote, as the script does."""
    whole = np.frombuffer(base64.b64decode(packed[1]), "<i2").astype(float)
    return np.where(whole == -32768, np.nan, whole * packed[0])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_report(folder, FEW, plant(folder, runs=FEW), folder / "report.html", DATE)
    return folder


@pytest.fixture(scope="module")
def content(home):
    html = (home / "report.html").read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="pair-data">(.*?)</script>', html, re.S)
    return json.loads(block[1])


def test_packed_numbers_come_back():
    values = np.array([0.0, -3.25, 1e-3, np.nan, 7.5])
    np.testing.assert_allclose(numbers(single_pairs.packed(values)), values, atol=7.5 / 32767)
    assert not numbers(single_pairs.packed(np.zeros(3))).any()


def test_every_scored_pair_is_there_with_what_the_files_say(home, content):
    split = content["splits"][0]
    results = gather(home, FEW, SETTINGS)
    assert [(p["l"], p["p"]) for p in split["pairs"]] == list(results.splits["genes"].pairs.index)
    arm = split["arms"][0]["name"]
    seeds = [
        anndata.read_h5ad(home / "genes" / arm / f"seed{seed}" / "intervals.h5ad")
        for seed in results.arms[arm].seeds
    ]
    for pair in split["pairs"]:
        rows = [
            np.flatnonzero((s.obs[PAIR] == [pair["l"], pair["p"]]).all(axis=1))[0] for s in seeds
        ]
        for key, layer in (("d", None), ("h", "half_width")):
            of = [
                (s.X if layer is None else s.layers[layer])[r]
                for s, r in zip(seeds, rows, strict=False)
            ]
            expected = np.mean(of, axis=0)
            atol = np.abs(expected).max() / 30000
            np.testing.assert_allclose(numbers(pair["a"][0][key]), expected, atol=atol)
        observed = seeds[0].layers["observed"][rows[0]]
        np.testing.assert_allclose(
            numbers(pair["o"]), observed, atol=np.abs(observed).max() / 30000
        )


def test_a_large_screen_keeps_the_genes_that_move_most(home, monkeypatch):
    monkeypatch.setattr(single_pairs, "BYTES_OF_GENES", 0)
    monkeypatch.setattr(single_pairs, "FEWEST_GENES", 7)
    results = gather(home, FEW, SETTINGS)
    content = json.loads(single_pairs.pages(results))
    pair = content["splits"][0]["pairs"][0]
    kept = np.frombuffer(base64.b64decode(pair["i"]), "<u2")
    assert len(kept) == 7 == len(numbers(pair["o"]))
    monkeypatch.setattr(single_pairs, "FEWEST_GENES", 10**6)
    every = json.loads(single_pairs.pages(results))["splits"][0]["pairs"][0]
    moves = np.maximum(np.abs(numbers(every["o"])), np.abs(numbers(every["a"][0]["d"])))
    assert moves[kept].min() >= np.delete(moves, kept).max() * 0.999


def test_p_moves_are_shown_where_an_arm_knows_them(home):
    path = home / "genes" / "line_mean" / "seed0" / "profiles.h5ad"
    assert single_pairs._p_moves(path) == {}
    shutil.copy(path, home / "with.h5ad")
    data = anndata.read_h5ad(home / "with.h5ad")
    data.layers["p_moves"] = np.full(data.shape, 0.25)
    data.layers["p_moves"][1] = np.nan  # an arm may not know it of every pair
    data.write_h5ad(home / "with.h5ad")
    known = single_pairs._p_moves(home / "with.h5ad")
    assert len(known) == data.n_obs - 1
    assert all((p == 0.25).all() for p in known.values())


@pytest.mark.parametrize("width", [400, 1280])
def test_three_steps_lead_from_the_page_to_a_pair(home, tmp_path, content, width):
    """Click the search box, type a gene, click the pair: the page of that pair stands there."""
    pair = content["splits"][0]["pairs"][-1]
    title = browsed(
        home / "report.html", tmp_path, width,
        """
        const box = page.getElementById("pair-search");
        box.focus(); box.value = GENE; box.dispatchEvent(new Event("input"));
        const hit = Array.from(page.querySelectorAll("#pair-hits a"))
          .filter(a => a.textContent.includes(" in " + LINE))[0];
        hit.click();
        setTimeout(() => {
          const article = page.getElementById("pair-page");
          document.title = [article.querySelector("h3").textContent,
            article.querySelectorAll("svg").length, article.querySelectorAll("table").length,
            page.documentElement.scrollWidth].join("|");
        }, 500);
        """.replace("GENE", json.dumps(pair["p"])).replace("LINE", json.dumps(pair["l"])),
    )  # fmt: skip
    assert title == f"{pair['p']} in {pair['l']}|3|4|{width}"


def test_the_map_sets_those_alike_beside_each_other():
    values = np.array([[0, 0], [5, 5], [0.1, 0], [5, 5.1], [0, 0.1]])
    order = maps._order(values).tolist()
    assert set(order[:2]) == {1, 3} or set(order[-2:]) == {1, 3}
    assert maps._order(values[:2]).tolist() == [0, 1]
