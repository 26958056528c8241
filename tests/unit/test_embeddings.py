import os
import pickle

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptrag.base.errors import PtragError
from ptrag.base.files import read_table
from ptrag.genes.coverage import cover
from ptrag.genes.embeddings import COVERAGE, Embedding, read_embedding, write_embedding
from ptrag.genes.providers import derive_control, embed
from ptrag.genes.symbols import Symbols
from ptrag.genes.text import encode_texts


def embedding(names, vectors):
    coverage = pd.DataFrame({"perturbation": names, "level": "exact", "detail": ""})
    return Embedding(list(names), np.asarray(vectors, np.float32), coverage)


@pytest.fixture(scope="module")
def options(request):
    table = request.config.rootpath / "resources/gene_text.tsv.gz"
    return {
        "genept": {"member": "x", "member_sha256": None},
        "text": {"gene_text": str(table)},
        "table": {"path": None},
        "missing": "error",
    }


@pytest.fixture
def table(tmp_path, options):
    """Write a user's table and embed some perturbations with it."""

    def run(text, perturbations, missing="error", name="vectors.tsv"):
        path = tmp_path / name
        path.write_text(text)
        section = {**options, "missing": missing, "table": {"path": str(path)}}
        return embed("table", perturbations, section)

    return run


def levels(found):
    return dict(zip(found.coverage["perturbation"], found.coverage["level"], strict=True))


# --- the type and its files ------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "vectors", "said"),
    [
        (["A", "B"], [[1.0, 2.0]], "2 names for vectors of shape"),
        (["A", "A"], np.ones((2, 2)), "'A' occurs twice"),
        (["A", "B"], [[1, 2], [0, 0]], "'B' is all zeros"),
        (["A", "B"], [[1, 2], [0, np.nan]], "'B' is not finite"),
    ],
)
def test_bad_vectors_are_refused(names, vectors, said):
    with pytest.raises(PtragError, match=said):
        embedding(names, vectors)


def test_round_trip_opens_as_anndata_and_keeps_its_bytes(tmp_path):
    given_ = embedding(["A+B", "C"], [[1, 2, 3], [4, 5, 6]])
    for name in ("a", "b"):
        write_embedding(given_, tmp_path / f"{name}.h5ad", tmp_path / f"{name}.coverage.tsv")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()
    back = read_embedding(tmp_path / "a.h5ad")
    assert back.names == given_.names
    assert np.array_equal(back.vectors, given_.vectors)
    assert back.coverage.equals(given_.coverage)
    assert list(anndata.read_h5ad(tmp_path / "a.h5ad").obs_names) == ["A+B", "C"]
    assert list(read_table(tmp_path / "a.coverage.tsv").columns) == COVERAGE


def test_rows_of_a_perturbation_without_vector_is_an_error():
    with pytest.raises(PtragError, match="no vector for 'X'"):
        embedding(["A"], [[1.0]]).rows(["A", "X"])


# --- how a perturbation is found -------------------------------------------------------

TABLE = "gene\tx\ty\nMAP2K1\t1\t0\nMAP2K2\t0\t1\nP53\t2\t2\nIRF1\t4\t0\n"


def test_exact_alias_parts_and_their_means(table):
    found = table(TABLE, ["IRF1", "TP53", "MAP2K1+MAP2K2", "IRF1+TP53"])
    assert levels(found) == {
        "IRF1": "exact", "TP53": "alias", "MAP2K1+MAP2K2": "parts", "IRF1+TP53": "parts",
    }  # fmt: skip
    assert found.vectors.tolist() == [[4, 0], [2, 2], [0.5, 0.5], [3, 1]]
    assert "P53" in found.coverage["detail"][1]


def test_missing_is_an_error_a_counted_drop_or_the_family(table):
    asked = ["IRF1", "MAP2K3", "STAT1", "NOSUCHGENE"]
    with pytest.raises(PtragError, match=r"no vector for 3 of 4 .*MAP2K3"):
        table(TABLE, asked)
    dropped = table(TABLE, asked, "drop")
    assert dropped.names == ["IRF1"]
    assert levels(dropped) == dict.fromkeys(asked[1:], "dropped") | {"IRF1": "exact"}
    backed = table(TABLE, asked, "family")
    assert levels(backed) == {
        "IRF1": "exact", "MAP2K3": "family", "STAT1": "go", "NOSUCHGENE": "dropped",
    }  # fmt: skip
    assert backed.names == ["IRF1", "MAP2K3", "STAT1"]
    assert backed.vectors[1].tolist() == [0.5, 0.5]


def test_a_double_with_a_missing_part_is_no_vector_of_the_other_part(table):
    dropped = table(TABLE, ["IRF1", "IRF1+NOSUCHGENE"], "drop")
    assert dropped.names == ["IRF1"]
    backed = table(TABLE, ["IRF1", "IRF1+MAP2K3"], "family")
    assert levels(backed)["IRF1+MAP2K3"] == "family"
    assert backed.vectors[1].tolist() == [2.25, 0.25]


def test_no_overlap_is_an_error_under_any_policy(table):
    for missing in ("error", "drop"):
        with pytest.raises(PtragError, match="knows none of the 2 perturbations"):
            table(TABLE, ["FOO", "BAR"], missing)


@settings(max_examples=30)
@given(st.data())
def test_every_perturbation_is_covered_once_and_never_by_zeros(options, data):
    symbols = Symbols.read(options["text"]["gene_text"])
    some = list(symbols.genes)[::997]
    known = set(data.draw(st.lists(st.sampled_from(some), min_size=1)))
    asked = data.draw(st.lists(st.sampled_from([*some, "NOPE", "IRF1"]), unique=True))
    asked.append(f"{min(known)}+{max(known)}")
    recipes, coverage = cover(asked, known, symbols, "family", "table")
    assert list(coverage["perturbation"]) == asked
    assert set(recipes) == set(asked) - set(
        coverage["perturbation"][coverage["level"] == "dropped"]
    )
    for parts in recipes.values():
        assert parts
        assert all(names and set(names) <= known for names in parts)


# --- the user's table ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gene\tx\ty\nIRF1\t1\t2\t3\nTP53\t1\t2\n", "not a table"),
        ("gene\tx\ty\nIRF1\t1\nTP53\t1\t2\n", "'IRF1', column 'y': .* is not a number"),
        ("gene\tx\nIRF1\t1\nIRF1\t2\n", "'IRF1' has two rows"),
        ("gene\tx\nIRF1\tone\n", "'one' is not a number"),
        ("gene\nIRF1\n", "has one column"),
        ("", "not a table"),
        ("gene\tx\ty\nIRF1\t0\t0\n", "all zeros"),
    ],
)
def test_tables_that_cannot_be_vectors_are_refused(table, text, said):
    with pytest.raises(PtragError, match=said):
        table(text, ["IRF1"])


@pytest.mark.parametrize(
    "text",
    [
        "gene;x;y\nTP53;0,5;1\nMYC;2;-3,25\n",  # where , is the decimal sign
        "gene;x;y\nTP53;0.5;1\nMYC;2;-3.25\n",
        "\ufeffgene\tx\ty\nTP53\t0.5\t1\nMYC\t2\t-3.25\n",
        "\ufeffgene,x,y\n TP53,0.5,1\nMYC\u00a0,2,-3.25\n",
    ],
)
def test_tables_are_read_as_people_save_them(table, text):
    vectors = table(text, ["MYC", "TP53"]).vectors
    np.testing.assert_array_equal(vectors, np.array([[2, -3.25], [0.5, 1]], np.float32))


def test_csv_is_read_too_and_a_missing_table_is_named(table, options):
    assert table("gene,x\nIRF1,3\n", ["IRF1"], name="v.csv").vectors.tolist() == [[3]]
    with pytest.raises(PtragError, match=r"embeddings\.table\.path"):
        embed("table", ["IRF1"], options)
    with pytest.raises(PtragError, match="did you mean 'genept'"):
        embed("genpt", ["IRF1"], options)


# --- genept and text -------------------------------------------------------------------


def test_genept_vectors_from_a_pickle(tmp_path, options):
    path = tmp_path / "vectors.pickle"
    path.write_bytes(pickle.dumps({"IRF1": [1.0, 2.0], "TRP53": [3.0, 4.0]}))
    found = embed("genept", ["IRF1", "TP53"], {**options, "missing": "error"}, path)
    assert found.vectors.tolist() == [[1, 2], [3, 4]]
    assert levels(found) == {"IRF1": "exact", "TP53": "alias"}


def test_text_vectors_put_like_genes_together_and_do_not_vary(options):
    asked = ["RPL3", "RPS6", "MRPL12", "TP53", "CDKN1A+CDKN1B", "RPL11", "OR1A1", "OR2T3"]
    found = embed("text", asked, options)
    assert found.vectors.shape == (8, 384)
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    near = unit @ unit.T
    at = {name: i for i, name in enumerate(asked)}
    assert near[at["RPL3"], at["RPL11"]] > near[at["RPL3"], at["TP53"]]
    assert near[at["OR1A1"], at["OR2T3"]] > near[at["OR1A1"], at["RPL3"]]
    assert np.array_equal(embed("text", asked, options).vectors, found.vectors)


def test_a_texts_vector_does_not_depend_on_the_texts_beside_it():
    alone = encode_texts(["mitochondrial ribosomal protein"])
    beside = encode_texts(
        ["kinase. " + "signal transduction; " * 80, "mitochondrial ribosomal protein"]
    )
    np.testing.assert_allclose(beside[1], alone[0], atol=1e-5)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


# --- negative controls -----------------------------------------------------------------


@given(st.integers(2, 40), st.integers(0, 2**31))
def test_shuffled_is_a_permutation_without_fixed_point(n, seed):
    given_ = embedding([f"G{i}" for i in range(n)], np.arange(1, 2 * n + 1).reshape(n, 2))
    control = derive_control(given_, "shuffled", seed)
    assert control.names == given_.names
    assert sorted(control.vectors.tolist()) == sorted(given_.vectors.tolist())
    assert (control.vectors != given_.vectors).any(axis=1).all()


def test_random_keeps_norms_and_nothing_else():
    rng = np.random.default_rng(0)
    vectors = rng.normal(1, 1, (400, 64)) * rng.uniform(0.1, 9, (400, 1))
    given_ = embedding([f"G{i}" for i in range(400)], vectors)
    control = derive_control(given_, "random", 3)
    norms = [np.linalg.norm(e.vectors, axis=1) for e in (given_, control)]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
    unit = [e.vectors / n[:, None] for e, n in zip((given_, control), norms, strict=True)]
    assert abs((unit[0] * unit[1]).sum(axis=1).mean()) < 4 / np.sqrt(400 * 64)
    assert np.array_equal(derive_control(given_, "random", 3).vectors, control.vectors)
    assert not np.array_equal(derive_control(given_, "random", 4).vectors, control.vectors)


def test_controls_say_what_they_are():
    given_ = embedding(["A", "B"], [[1, 2], [3, 4]])
    assert list(derive_control(given_, "shuffled").coverage["detail"]) == [
        "vector of B",
        "vector of A",
    ]
    with pytest.raises(PtragError, match="did you mean 'shuffled'"):
        derive_control(given_, "shufled")


@pytest.mark.parametrize(
    ("screen", "no_symbol"), [("papalexi", {"non-targeting"}), ("norman_mcfaline", {"control"})]
)
def test_every_perturbation_of_the_real_screens_has_a_text(real_data, options, screen, no_symbol):
    obs = anndata.read_h5ad(real_data / f"{screen}.h5ad", backed="r").obs
    asked = sorted(set(obs["perturbation"]) - no_symbol)
    symbols = Symbols.read(options["text"]["gene_text"])
    _, coverage = cover(asked, set(symbols.genes), symbols, "error", "text")
    assert set(coverage["level"]) <= {"exact", "alias", "parts"}
    if screen == "papalexi":
        renamed = coverage[coverage["level"] == "alias"]
        assert renamed[["perturbation", "detail"]].to_numpy().tolist() == [["MARCH8", "MARCHF8"]]
