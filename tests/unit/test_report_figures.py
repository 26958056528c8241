"""Figures on a page take little room: shared styles, no groups that do nothing, few long tables."""

import re
import xml.etree.ElementTree as ET

from report_cases import DATE, FEW, SETTINGS, plant

from ptrag.report import html, scores
from ptrag.report.figure import _without_bare_groups
from ptrag.report.gather import gather
from ptrag.report.page import write_report


def test_groups_without_attributes_are_left_out_and_the_others_stay_closed():
    text = '<svg><g><g id="a"><g/><g>x<g><p/></g></g></g><g clip="b"/></g></svg>'
    short = _without_bare_groups(text)
    assert short == '<svg><g id="a">x<p/></g><g clip="b"/></svg>'
    ET.fromstring(short)


def test_shared_styles_say_what_the_styles_said():
    figure = '<svg role="img" style="width:9px"><p style="fill: red"/><p style="fill: blue"/></svg>'
    rare = figure.replace("blue", "green")
    page = f'<style>p{{}}</style><i style="fill: red">{figure * 3}</i>{rare}'
    short = html._with_classes(page)
    rules = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", short))
    assert set(rules.values()) == {"fill: red", "width:9px"}, "what comes four times"
    assert 'style="fill: green"' in short and '<i style="fill: red">' in short
    back = re.sub(r'class="(s\d+)"', lambda hit: f'style="{rules[hit[1]]}"', short)
    assert re.sub(r"\.s\d+\{[^}]*\}\n", "", back) == page


def test_a_long_table_of_pairs_keeps_those_of_largest_effect(tmp_path, monkeypatch):
    plant(tmp_path, runs=FEW)
    results = gather(tmp_path, FEW, SETTINGS)
    split = results.splits["genes"]
    every = scores.all_pairs(split, "energy", ["control"], None)
    assert len(every.rows) == len(split.pairs)
    assert "of every test pair" in every.caption
    monkeypatch.setattr(scores, "PAIRS", 4)
    few = scores.all_pairs(split, "energy", ["control"], None)
    largest = sorted(split.pairs["effect_size"], reverse=True)[:4]
    assert sorted((row[3].value for row in few.rows), reverse=True) == largest
    assert "of the 4 test pairs with the largest effect" in few.caption
    write_report(tmp_path, FEW, SETTINGS, tmp_path / "report.html", DATE)
    text = (tmp_path / "report.html").read_text()
    assert f"table of 4 of {len(split.pairs)} pairs" in text
