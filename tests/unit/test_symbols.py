import gzip
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptrag.base.errors import PtragError
from ptrag.genes.symbols import COLUMNS, Symbols, family_stem

ROWS = [
    ("MAP2K3", "MKK3|MEK3", "kinase three", "MAPK cascade; apoptosis", "binding", "nucleus"),
    ("MAP2K4", "MKK4|JNKK", "kinase four", "MAPK cascade", "molecular_function", "nucleus"),
    ("C1orf43", "HSPC012", "open frame 43", "biological_process", "", "Golgi apparatus"),
    ("ODD1", "MEK3", "shares an alias", "apoptosis; MAPK cascade", "", ""),
    ("MKK4", "", "a symbol that is an alias elsewhere", "", "", ""),
]


@pytest.fixture(scope="module")
def symbols(tmp_path_factory):
    path = tmp_path_factory.mktemp("genes") / "genes.tsv.gz"
    with gzip.open(path, "wt") as handle:
        handle.write("\n".join("\t".join(row) for row in [COLUMNS, *ROWS]) + "\n")
    return Symbols.read(path)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("MAP2K3", ("MAP2K3", "exact")),
        ("MKK3", ("MAP2K3", "alias")),
        ("map2k3", ("MAP2K3", "alias")),
        ("C1ORF43", ("C1orf43", "alias")),
        ("MEK3", (None, "ambiguous")),  # of MAP2K3 and of ODD1
        ("MKK4", ("MKK4", "exact")),  # a current symbol beats an alias
        ("NOPE", (None, "unknown")),
    ],
)
def test_resolve(symbols, asked, found):
    assert symbols.resolve(asked) == found


def test_spellings_put_the_current_symbol_first(symbols):
    assert symbols.spellings("JNKK") == ["MAP2K4", "JNKK", "MKK4"]
    assert symbols.spellings("NOPE") == ["NOPE"]


def test_genes_sharing_most_terms(symbols):
    known = {"MAP2K4", "ODD1", "C1orf43"}
    assert symbols.sharing_terms("MAP2K3", known) == ["ODD1", "MAP2K4"]
    assert symbols.sharing_terms("MAP2K3", {"MAP2K3", "C1orf43"}) == []
    assert symbols.sharing_terms("NOPE", known) == []


def test_text_is_name_and_processes_else_what_there_is(symbols):
    assert symbols.genes["MAP2K3"].text == "kinase three. MAPK cascade; apoptosis"
    assert symbols.genes["C1orf43"].text == "open frame 43. Golgi apparatus"
    assert symbols.genes["MKK4"].text == "a symbol that is an alias elsewhere."


@given(st.from_regex(r"[A-Z]{2,6}", fullmatch=True), st.integers(1, 999))
def test_members_of_a_numbered_family_share_its_stem(stem, number):
    assert family_stem(f"{stem}{number}") == stem
    assert family_stem(f"{stem}{number}A") == stem
    assert family_stem(stem) is None


def test_tables_that_are_not_gene_texts_are_refused(tmp_path):
    with pytest.raises(PtragError, match="no file"):
        Symbols.read(tmp_path / "none.tsv.gz")
    path = tmp_path / "other.tsv"
    path.write_text("gene\tname\n")
    with pytest.raises(PtragError, match="expected the columns symbol"):
        Symbols.read(path)


def test_the_shipped_table_agrees_with_pandas(root):
    path = root / "resources/gene_text.tsv.gz"
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    symbols = Symbols.read(path)
    assert list(symbols.genes) == list(table["symbol"])
    assert all(symbols.resolve(symbol) == (symbol, "exact") for symbol in table["symbol"])
    every = table.assign(alias=table["aliases"].str.split("|")).explode("alias", ignore_index=True)
    spelled = every[every["alias"] != ""].assign(upper=every["alias"].str.upper())
    bearers = spelled.groupby("upper")["symbol"].nunique()
    current = set(table["symbol"].str.upper())
    for row in spelled.iloc[::97].itertuples():
        if row.upper in current:
            continue
        expected = (row.symbol, "alias") if bearers[row.upper] == 1 else (None, "ambiguous")
        assert symbols.resolve(row.alias) == expected


def test_sources_of_the_shipped_tables_are_stated(root):
    from ptrag.base.files import sha256

    stated = (root / "resources/SOURCE.md").read_text()
    for name in ("gene_text.tsv.gz", "paper_splits.json"):
        row = next(line for line in stated.splitlines() if line.startswith(f"| `{name}`"))
        assert re.search(r"`([0-9a-f]{64})`", row)[1] == sha256(root / "resources" / name)
