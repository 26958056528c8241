"""One identity and one role for everything that can be spelt in more than one way."""

import numpy as np
import pandas as pd
import pytest
from border_screens import ALL, PERTURBED, SPEC, relabelled, screen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.cells.labels import read_flags
from ptrag.cells.preprocess import build_cells, names_path
from ptrag.cells.store import CellStore
from ptrag.genes import names as n
from ptrag.genes.columns import column_names, share_of_symbols, without_column
from ptrag.genes.coverage import cover
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.genes.words import is_control_word, is_placeholder, tidy

SYMBOLS = Symbols.read(GENE_TEXT)
NAMES = n.Names(SYMBOLS, "non-targeting")
ALIASED = {
    gene.symbol: [
        a for a in gene.aliases if "+" not in a and SYMBOLS.resolve(a) == (gene.symbol, "alias")
    ]
    for gene in SYMBOLS.genes.values()
    if NAMES.gene(gene.symbol).name == gene.symbol and not is_control_word(gene.symbol)
}
ALIASED = {
    symbol: [a for a in aliases if NAMES.gene(a).how == n.ALIAS]
    for symbol, aliases in list(ALIASED.items())[::23]
}


@st.composite
def spellings(draw):
    """Draw one or two genes, and two ways to write them."""
    genes = draw(st.lists(st.sampled_from(sorted(ALIASED)), min_size=1, max_size=2, unique=True))

    def written(gene):
        name = draw(st.sampled_from([gene, *ALIASED[gene]]))
        name = draw(st.sampled_from([name, name.lower(), name.upper(), name.capitalize()]))
        before, after = (
            draw(st.sampled_from(["", " ", "\u00a0", "\ufeff"])),
            draw(st.sampled_from(["", " ", "\u200b", "\t"])),
        )
        return before + name + after

    def label():
        parts = [written(gene) for gene in genes]
        if draw(st.booleans()):
            parts.append(draw(st.sampled_from(["non-targeting", "Non-Targeting", "ctrl", "NT"])))
        return "+".join(draw(st.permutations(parts)))

    return genes, label(), label()


@given(spellings())
@settings(max_examples=300)
def test_every_spelling_has_one_identity(drawn):
    genes, one, two = drawn
    assert NAMES.perturbation(one).name == NAMES.perturbation(two).name == "+".join(sorted(genes))
    assert NAMES.identity(one) == NAMES.identity(two)
    assert NAMES.match([one], [two]) == {one: two}
    assert NAMES.possible_genes("+".join(genes)) == {gene.casefold() for gene in genes}


@given(data=st.data())
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_a_screen_in_many_spellings_is_the_plain_screen(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))

    def respelt(label, i):
        if label == "control":
            return rng.choice(["control", " control", "Control", "CONTROL "])
        name = rng.choice(
            [label, *(a for a in SYMBOLS.genes[label].aliases if NAMES.gene(a).name == label)]
        )
        name = rng.choice([name, name.lower(), f" {name}", f"{name}\u00a0"])
        return rng.choice([name, f"{name}+control", f"ctrl+{name}"])

    relabelled(respelt).write_h5ad(folder / "source.h5ad")
    build_cells(folder / "source.h5ad", SPEC, ALL, folder / "cells.h5ad")
    store = CellStore(folder / "cells.h5ad")
    expected = screen().obs["gene"].astype(str)
    assert store.perturbations == sorted(PERTURBED)
    assert dict(store.obs["perturbation"].astype(str)) == dict(expected)
    table = read_table(names_path(folder / "cells.h5ad"), dtype=str)
    told = dict(zip(table["source"], table["name"], strict=True))
    raw = relabelled(lambda label, i: label).obs["gene"]
    assert set(told.values()) >= {*PERTURBED, "control"}
    assert table[table["kind"] == "perturbation"]["n_cells"].astype(int).sum() == len(raw)


@pytest.mark.parametrize(
    ("label", "name", "how"),
    [
        ("TP53", "TP53", n.EXACT),
        ("tp53", "TP53", n.ALIAS),
        ("HFE2", "HJV", n.ALIAS),
        ("MLL", "KMT2A", n.ALIAS),
        ("MARCH1", "MARCHF1", n.ALIAS),
        ("SEPT2", "SEPTIN2", n.ALIAS),  # SEPTIN6 has it as an alias too
        ("MLL4", "MLL4", n.AMBIGUOUS),
        ("AAVS1", "AAVS1", n.NOT_A_GENE),
        ("eGFP", "eGFP", n.NOT_A_GENE),
        ("NA", "NA", n.NOT_A_GENE),
        ("nan", "nan", n.NOT_A_GENE),
        ("NTC", "NTC", n.CONTROL_WORD),
        ("neg_ctrl_2", "neg_ctrl_2", n.CONTROL_WORD),
        ("CTRL", "CTRL", n.EXACT),
        ("1-Mar", "1-Mar", n.UNKNOWN),
        ("HLA\u2011A", "HLA-A", n.EXACT),
        ("drug 7", "drug 7", n.UNKNOWN),
        ("TP53+MYC", "MYC+TP53", n.EXACT),
        ("MYC+TP53+MYC", "MYC+TP53", n.EXACT),
        ("TP53+non-targeting", "TP53", n.EXACT),
        ("ctrl+TP53", "TP53", n.EXACT),
        ("non-targeting+non-targeting", "control", n.CONTROL),
        ("non-targeting", "control", n.CONTROL),
        ("Non_Targeting", "Non_Targeting", n.CONTROL_WORD),
    ],
)
def test_what_a_label_is(label, name, how):
    assert NAMES.perturbation(label)[:2] == (name, how)


def test_controls_are_a_label_a_list_or_a_pattern():
    for control in (["NT-1", "NT-2"], {"pattern": r"NT-\d"}):
        names = n.Names(SYMBOLS, control)
        assert [names.is_control(x) for x in ("NT-1", "NT-2", "NT5E")] == [True, True, False]
    guides = n.Names(SYMBOLS, "NT-1", r"^(.+)-\d$")
    assert [guides.perturbation(x).name for x in ("NT-1", "NT-3", "TP53-2")] == [
        "control", "control", "TP53",
    ]  # fmt: skip
    assert n.Names(SYMBOLS, "NT", r"^(.+)-\d$").perturbation("NT-3").name == "control"


@pytest.mark.parametrize(
    ("control", "label", "message"),
    [
        ("ctrl", "CTRL", "is the gene CTRL or 'ctrl' .control. in another spelling"),
        ("non-targeting", "control", "means control here, but `control` is 'non-targeting'"),
        ("ctrl", "TP53+", "names no gene on one side"),
        ("ctrl", "TP53+NA", "'NA' names no gene; mend it"),
    ],
)
def test_a_label_that_cannot_be_read_is_refused(control, label, message):
    with pytest.raises(PtragError, match=message):
        n.Names(SYMBOLS, control).perturbation(label)


@pytest.mark.parametrize("control", [[], "", [" "], {"pattern": "NT("}])
def test_a_control_that_names_nothing_is_refused(control):
    with pytest.raises(PtragError, match="control"):
        n.Names(SYMBOLS, control)


def test_lines_have_the_spelling_of_most_cells():
    assert n.one_spelling({"rpe1": 5, "RPE1 ": 3, "K562": 2}) == {
        "rpe1": "rpe1", "RPE1 ": "rpe1", "K562": "K562",
    }  # fmt: skip
    assert n.match_line("a172", ["k562", "A172"]) == "A172"
    assert n.match_line("hepg2", ["k562"]) is None


def test_columns_are_never_merged():
    named = column_names(["MARCH1", "TP53", "tp53", "p53", "MLL4"], NAMES)
    assert [column.name for column in named] == ["MARCHF1", "TP53", "tp53", "p53", "MLL4"]


def test_which_names_are_symbols():
    assert share_of_symbols(["TP53", "MYC", "Actb", "NA"], SYMBOLS) == 0.75
    assert share_of_symbols([f"ENSG{i:011d}" for i in range(50)], SYMBOLS) == 0
    assert without_column(["TP53", "MYC+JAK2", "drug", "control"], ["MYC", "X"], SYMBOLS) == (
        ["MYC"], ["JAK2", "TP53"],
    )  # fmt: skip


def test_words_that_are_no_gene_get_no_vector():
    known = {"XK", "SCN11A", "PPP1R12C", "CTRL", "TP53", "TRIM27"}
    recipes, coverage = cover(
        ["TP53", "NA", "nan", "AAVS1", "ctrl", "RFP"], known, SYMBOLS, "family", "text"
    )
    assert set(recipes) == {"TP53"}
    assert set(coverage["level"]) == {"exact", "dropped"}


@pytest.mark.parametrize("word", ["NA", "nan", " None ", "<NA>", "#N/A", "Unassigned", "", "-"])
def test_placeholders(word):
    assert is_placeholder(word)


@given(st.text())
def test_tidying_twice_is_tidying_once(text):
    assert tidy(tidy(text)) == tidy(text)


def test_twins_are_refused_where_that_is_asked_for(tmp_path):
    adata = relabelled(lambda label, i: label.lower() if i % 2 else label)
    adata.write_h5ad(tmp_path / "source.h5ad")
    with pytest.raises(PtragError, match=r"8 perturbations have more than one name .*tp53.*`twins"):
        build_cells(tmp_path / "source.h5ad", SPEC | {"twins": "error"}, ALL, tmp_path / "c.h5ad")


def test_an_ambiguous_label_beside_one_of_its_genes_is_said(tmp_path, caplog):
    relabelled(lambda label, i: {"TP53": "MLL4", "MYC": "KMT2B"}.get(label, label)).write_h5ad(
        tmp_path / "source.h5ad"
    )
    build_cells(tmp_path / "source.h5ad", SPEC, ALL, tmp_path / "cells.h5ad")
    assert "label 'MLL4' may be KMT2B or KMT2D, and KMT2B is a label too" in caplog.text
    assert NAMES.possible_genes("MLL4") & NAMES.possible_genes("KMT2B")


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        ["True", "False", "TRUE"],
        pd.Categorical(["yes", "no", "Yes"]),
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        np.array([True, False, True], dtype=object),
        pd.array([True, False, True], dtype="boolean"),
    ],
)
def test_booleans_are_read_not_guessed(values):
    assert list(read_flags("file", "var['x']", pd.Series(values))) == [True, False, True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([True, None, False], "1 of 3 values are missing"),
        (pd.array([True, None, False], dtype="boolean"), "1 of 3 values are missing"),
        (["True", "NA", "False"], "1 of 3 values are missing"),
        (["True", "perhaps", "False"], "'perhaps' is neither True nor False"),
        ([0, 1, 2], "'2' is neither"),
    ],
)
def test_what_is_no_boolean_is_refused(values, message):
    with pytest.raises(PtragError, match=r"file: var\['x'\]: " + message):
        read_flags("file", "var['x']", pd.Series(values))
