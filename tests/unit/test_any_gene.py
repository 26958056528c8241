"""Genes that no screen has: their vectors, their neighbours, and what arms read from them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.catalogue import knn, ridge
from ptrag.arms.expert.fitting import fit_expert
from ptrag.base.errors import PtragError
from ptrag.genes.any_gene import AnyGene
from ptrag.genes.embeddings import Embedding
from ptrag.genes.providers import embed
from ptrag.genes.symbols import GENE_TEXT
from ptrag.genes.vectors import Provider
from ptrag.prediction.bundle import Bundle
from ptrag.retrieval.index import find_neighbours
from ptrag.retrieval.nearest import Keys
from ptrag.retrieval.similarity import TextSimilarity

TEXT = Provider("text", GENE_TEXT)


def plain(names, vectors):
    coverage = pd.DataFrame({"perturbation": names, "level": "exact", "detail": ""})
    return Embedding(list(names), np.asarray(vectors, np.float32), coverage)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of vectors of real genes, and the provider that reads it."""
    rng = np.random.default_rng(0)
    names = ["TP53", "MYC", "STAT1", "JAK2", "KRAS"]
    vectors = rng.normal(size=(len(names), 4))
    path = tmp_path_factory.mktemp("table") / "vectors.tsv"
    pd.DataFrame(vectors, index=names).to_csv(path, sep="\t", index_label="symbol")
    return Provider("table", path), dict(zip(names, vectors, strict=True))


def test_new_genes_get_the_providers_vectors_whatever_they_are_called(table):
    provider, vectors = table
    known = plain(["TP53", "MYC"], [vectors["TP53"], vectors["MYC"]])
    made = AnyGene(known, provider).embed(["MYC", "KRAS", "JAK2+STAT1", "NOBODY"])
    assert made.names == ["MYC", "KRAS", "JAK2+STAT1"]
    expected = [vectors["MYC"], vectors["KRAS"], (vectors["JAK2"] + vectors["STAT1"]) / 2]
    np.testing.assert_allclose(made.vectors, expected, rtol=1e-6)


def test_text_vectors_are_those_of_the_workflow_and_the_same_alone_or_together():
    names = ["TP53", "MYC", "STAT1"]
    known = embed("text", names, TEXT.settings(), GENE_TEXT)
    together = AnyGene(known, TEXT).embed(["KRAS", "JAK2"]).vectors
    alone = AnyGene(known, TEXT).embed(["JAK2"]).vectors
    np.testing.assert_array_equal(together[1:], alone)
    workflow = embed("text", ["KRAS", "JAK2"], TEXT.settings(), GENE_TEXT).vectors
    np.testing.assert_allclose(together, workflow, atol=1e-6)


def test_a_provider_that_gives_other_vectors_than_the_bundles_is_refused(table):
    provider, vectors = table
    other = plain(["TP53", "MYC"], [vectors["KRAS"], vectors["MYC"]])
    with pytest.raises(PtragError, match="gives other vectors here"):
        AnyGene(other, provider).embed(["JAK2"])


@pytest.mark.parametrize("control", ["shuffled", "random"])
def test_a_negative_control_tells_nothing_of_a_new_gene_and_says_how(table, control):
    provider, vectors = table
    known = plain(list(vectors), list(vectors.values()))
    spoilt = provider._replace(control=control)
    made = AnyGene(known, spoilt).embed(["BRCA1", "BRCA2"])
    again = AnyGene(known, spoilt).embed(["BRCA2"])
    np.testing.assert_array_equal(made.vectors[1:], again.vectors)
    is_known = [(np.isclose(known.vectors, row).all(axis=1)).any() for row in made.vectors]
    assert is_known == [control == "shuffled"] * 2
    if control == "random":
        lengths = np.linalg.norm(known.vectors, axis=1)
        np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), lengths.mean(), rtol=1e-5)
    assert spoilt.facts()["new_genes"] in set(made.coverage["detail"])


def test_the_nearest_keys_are_those_of_all_cosines():
    embedding = draw_embedding(30)
    keys = embedding.names[::2]
    indexed = Keys(embedding, keys)
    unit = embedding.vectors.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for name, vector, own in zip(embedding.names, embedding.vectors, unit, strict=True):
        cosine = {key: own @ unit[embedding.names.index(key)] for key in keys if key != name}
        expected = sorted(cosine, key=lambda key: -cosine[key])[:4]
        near, similarity = indexed.nearest(vector, 4, lambda key, name=name: key == name)
        assert near == expected
        np.testing.assert_allclose(similarity, [cosine[key] for key in expected], atol=1e-6)


@pytest.mark.parametrize("arm", ["ptrag", "ptrag@reassigned"])
def test_a_new_gene_retrieves_its_own_neighbours_unless_they_are_reassigned(arm, table):
    provider, vectors = table
    *names, new = vectors
    known = plain(names, [vectors[name] for name in names])
    kept = {}

    def handed(asked):
        predictor = SimpleNamespace(learn=lambda vectors, candidates: kept.update(candidates))
        about, lines = {"arm": arm, "candidates": 2}, SimpleNamespace(perturbations=names)
        Bundle(about, predictor, lines, known, AnyGene(known, provider)).meet(asked)
        return kept[new]

    def nearest_two(of):
        others = [name for name in names if name != of]
        unit = np.array([vectors[name] for name in others])
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        cosine = unit @ vectors[of] / np.linalg.norm(vectors[of])
        return [(others[i], round(cosine[i], 4)) for i in np.argsort(-cosine)[:2]]

    def rounded(candidates, similarity):
        return [(name, round(float(s), 4)) for name, s in zip(candidates, similarity, strict=True)]

    found = rounded(*handed([new]))
    if arm == "ptrag":
        assert found == nearest_two(new)
    else:
        assert found in [nearest_two(name) for name in names]
    assert rounded(*handed(["NOBODY", new])) == found


@pytest.fixture(scope="module")
def parts():
    """Responses to P00 … P11, vectors of two more, which the fits are not told at first."""
    embedding, responses = draw_embedding(14), draw_responses(n_perturbations=12)
    known = plain(embedding.names[:12], embedding.vectors[:12])
    return embedding, known, responses


def learnt(fitted, embedding, keys, neighbours=None):
    """Teach a fit the vectors and candidates of P12 and P13."""
    new = embedding.names[12:]
    fitted.learn(new, embedding.vectors[12:])
    if neighbours is not None:
        indexed = Keys(embedding, keys)
        neighbours.learn(
            {
                name: indexed.nearest(vector, neighbours.k, lambda key: False)
                for name, vector in zip(new, embedding.vectors[12:], strict=True)
            }
        )
    return fitted


def test_what_is_learnt_later_is_read_as_if_it_had_been_there(parts):
    """Ridge and knn: an arm that had all vectors from the start, on the same responses."""
    embedding, known, responses = parts
    keys = responses.perturbations
    few, all_of_them = nearest(known, keys), nearest(embedding, keys)
    told = learnt(ridge.fit(responses, known, None, {}), embedding, keys)
    whole = ridge.fit(responses, embedding, None, {})
    told_knn = learnt(knn.ARM.fit(responses, known, few, {"topk_rag": 3}), embedding, keys, few)
    whole_knn = knn.ARM.fit(responses, embedding, all_of_them, {"topk_rag": 3})
    for name in ("P12", "P13"):
        assert told.knows(name) and told_knn.knows(name)
        for one, other in ((told, whole), (told_knn, whole_knn)):
            np.testing.assert_allclose(one("a", name).delta, other("a", name).delta, atol=1e-5)
    assert not told.knows("P99")


def test_the_kernel_of_a_learnt_gene_is_that_of_its_vector(parts):
    embedding, known, responses = parts
    text = TextSimilarity(known, responses.perturbations)
    before = text.arrays()
    text.learn(embedding.names[12:], embedding.vectors[12:])
    whole = TextSimilarity(embedding, responses.perturbations)
    names = responses.perturbations
    np.testing.assert_allclose(text.kernel(["P12"], names), whole.kernel(["P12"], names), atol=1e-9)
    for key, values in text.arrays().items():
        np.testing.assert_array_equal(values, before[key])
    text.learn([], np.empty((0, embedding.vectors.shape[1])))
    assert "P12" not in text


def test_the_expert_tells_new_genes_apart_by_their_texts(parts):
    embedding, known, responses = parts
    from dataclasses import replace

    keys = responses.perturbations
    few, all_of_them = nearest(known, keys), nearest(embedding, keys)
    new = replace(responses, protocol="unseen_perturbation")
    told = learnt(fit_expert(new, known, few, {"topk_rag": 3}), embedding, keys, few)
    whole = fit_expert(new, embedding, all_of_them, {"topk_rag": 3})
    for name in ("P12", "P13"):
        one, other = told("b", name), whole("b", name)
        np.testing.assert_allclose(one.delta, other.delta, atol=1e-6)
        np.testing.assert_allclose(one.sd, other.sd, atol=1e-6)


def test_a_line_met_later_is_read_as_one_that_was_there_without_entries(parts):
    """Against a fit with the line's controls from the start, under unseen_line."""
    _, known, responses = parts
    mean, se = np.full(len(responses.genes), 2.0), np.full(len(responses.genes), 0.01)
    there = responses.with_line("aa", mean, se)
    assert there.lines == ["a", "aa", "b", "c"]
    for fit, options in ((knn.ARM.fit, {"topk_rag": 3}), (ridge.fit, {})):
        few = nearest(known, responses.perturbations)
        later = fit(responses, known, few, options).with_line("aa", mean, se)
        first = fit(there, known, few, options)
        for name in ("P00", "P05"):
            expected = first("aa", name).delta
            np.testing.assert_allclose(later("aa", name).delta, expected, atol=1e-12)
    few = nearest(known, responses.perturbations)
    expert = fit_expert(responses, known, few, {"topk_rag": 3})
    later = expert.with_line("aa", mean, se)
    for line in responses.lines:
        np.testing.assert_allclose(later(line, "P03").delta, expert(line, "P03").delta, atol=1e-10)
    level = later.level.variance
    np.testing.assert_array_equal(np.delete(level, 1, axis=0), expert.level.variance)
    assert (later("aa", "P03").sd >= np.sqrt(level[1]) - 1e-12).all()


def test_neighbours_of_an_own_screen_are_those_of_brute_force():
    embedding, keys = draw_embedding(20), [f"P{i:02d}" for i in range(12)]
    made, expected = find_neighbours(embedding, keys, 5), nearest(embedding, keys, 5)
    for name in embedding.names:
        assert made.candidates(name)[0] == expected.candidates(name)[0]
