"""Several target lines as one: the same pairs, counted once, clustered by perturbation."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from comparison_cases import EVALUATION, planted

from ptrag.comparison.compare import Score, as_table, compare_split
from ptrag.comparison.pooled import ALL_LINES, pooled
from ptrag.report import pooled as page
from ptrag.report import tables


def of_line(line, level, n):
    scores = planted({"ridge": 0.2, "ptrag": level}, n=n, rng=n)
    pairs = scores.pairs.assign(cell_line=line)
    return replace(scores, split=line, pairs=pairs, n_left_out={"test": 2})


def test_means_are_over_the_pairs_of_all_lines():
    splits = [of_line("a", 0.5, 30), of_line("b", 0.3, 10)]
    every = pooled(splits)
    assert every.split == ALL_LINES
    assert every.n_left_out == {"test": 4}
    rows, contrasts = compare_split(every, EVALUATION, set(), split_half=False)
    row = next(row for row in rows if row.arm == "ptrag")
    assert row.n_pairs == 40
    values = np.concatenate([split.values["ptrag"][:, 0, 0] for split in splits])
    assert row.mean == pytest.approx(values.mean())
    difference = next(c for c in contrasts if (c.arm, c.against) == ("ptrag", "ridge"))
    both = [split.values["ptrag"] - split.values["ridge"] for split in splits]
    assert difference.difference == pytest.approx(np.concatenate(both).mean())


def test_what_is_no_rotation_of_lines_is_not_pooled():
    a, b = of_line("a", 0.5, 8), of_line("b", 0.5, 8)
    assert pooled([a]) is None
    assert pooled([a, replace(a, split="again")]) is None
    several = replace(b, pairs=b.pairs.assign(cell_line=["b", "c"] * 4))
    assert pooled([a, several]) is None


def test_an_arm_that_one_split_lacks_is_left_out():
    a, b = of_line("a", 0.5, 8), of_line("b", 0.5, 8)
    b = replace(b, values={"ptrag": b.values["ptrag"]})
    assert list(pooled([a, b]).values) == ["ptrag"]


def results(splits):
    """What the report has read of a comparison."""
    every = [*filter(None, [pooled(splits)]), *splits]
    rows = [row for s in every for row in compare_split(s, EVALUATION, set(), split_half=False)[0]]
    views = {arm: SimpleNamespace(name=arm, kind="model") for arm in ("ridge", "ptrag")}
    return SimpleNamespace(
        splits={split.split: SimpleNamespace(role="test") for split in splits},
        comparison=as_table(rows, Score),
        arms=views,
    )


def test_the_report_shows_all_lines_and_how_many_pairs_were_scored(monkeypatch):
    monkeypatch.setattr(page, "shown_metrics", lambda results: ["pearson_delta"])
    splits = [of_line("a", 0.5, 30), of_line("b", 0.3, 10)]
    splits[0].values["ptrag"][:3] = np.nan  # undefined by the real cells: not scored
    splits[0].values["ridge"][:3] = np.nan
    table = page.pooled_table(results(splits))
    assert "37 test pairs" in table.caption
    values = np.concatenate([split.values["ptrag"].ravel() for split in splits])
    shown = next(row for row in table.rows if row[0].text == "ptrag")[1]
    assert shown.value == pytest.approx(np.nanmean(values))
    assert page.pooled_table(results(splits[:1])) is None


def test_published_values_stand_beside_those_of_all_lines():
    splits = [of_line("a", 0.5, 30), of_line("b", 0.1, 10)]
    table = tables.published(results(splits))
    assert "40 pairs of all target lines" in table.caption
