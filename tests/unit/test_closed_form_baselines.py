"""Additive, knn, ridge and oracle against least squares, loops and scikit-learn."""

import anndata
import numpy as np
import pandas as pd
import pytest
from response_cases import draw_embedding, draw_responses, nearest
from sklearn.linear_model import Ridge

from ptrag.arms.catalogue import additive, knn, line_mean, oracle, perturbation_mean, ridge
from ptrag.arms.simple.ridge import PENALTIES, Regression
from ptrag.base.errors import PtragError
from ptrag.retrieval.similarity import TextSimilarity


def lstsq_effects(responses):
    """Perturbation and line effects of least norm, by a dummy-coded design."""
    lines = np.eye(len(responses.lines))[responses.line_of]
    perturbations = np.eye(len(responses.perturbations))[responses.perturbation_of]
    effects = np.linalg.lstsq(np.hstack([lines, perturbations]), responses.delta, rcond=None)[0]
    return effects[: lines.shape[1]], effects[lines.shape[1] :]


def test_additive_is_least_squares():
    responses = draw_responses(seed=3)
    predict = additive.ARM.fit(responses, None, None, {})
    lines, perturbations = lstsq_effects(responses)
    for i, line in enumerate(responses.lines):
        for j, name in enumerate(responses.perturbations):
            estimate = predict(line, name)
            np.testing.assert_allclose(
                estimate.delta, lines[i] + perturbations[j], rtol=1e-9, atol=1e-10
            )
            assert estimate.note == ""


def test_additive_backs_off_to_the_line_for_a_new_perturbation():
    responses = draw_responses(seed=3)
    estimate = additive.ARM.fit(responses, None, None, {})("b", "new")
    np.testing.assert_allclose(
        estimate.delta, line_mean.ARM.fit(responses, None, None, {})("b", "new").delta
    )
    assert estimate.note == additive.BACK_OFF


def test_additive_of_one_shared_perturbation_moves_by_the_difference_of_lines():
    responses = draw_responses(seed=1, lines=("a", "b"), missing=0)
    held = responses.rows("b", "P03")[0]
    rest = responses.without([held])
    both = [n for n in rest.perturbations if n != "P03"]
    shift = np.mean(
        [rest.delta[rest.rows("b", n)[0]] - rest.delta[rest.rows("a", n)[0]] for n in both], axis=0
    )
    expected = rest.delta[rest.rows("a", "P03")[0]] + shift
    found = additive.ARM.fit(rest, None, None, {})("b", "P03").delta
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_knn_is_the_weighted_mean_by_hand():
    responses, embedding = draw_responses(seed=5), draw_embedding()
    neighbours = nearest(embedding, responses.perturbations, k=5)
    predict = knn.ARM.fit(responses, embedding, neighbours, {"topk_rag": 3})
    for line, name in (("a", "P00"), ("c", "P07"), ("b", "P13")):
        names, similarity = neighbours.candidates(name)
        total, norm = np.zeros(len(responses.genes)), 0.0
        for other, cosine in list(zip(names, similarity, strict=True))[:3]:
            entries = responses.entries
            its = (entries["perturbation"] == other).to_numpy()
            here = its & (entries["cell_line"] == line).to_numpy()
            weight = max(cosine, 0.0)
            total += weight * responses.delta[here if here.any() else its].mean(axis=0)
            norm += weight
        estimate = predict(line, name)
        np.testing.assert_allclose(estimate.delta, total / norm, rtol=1e-10)
        assert [c.name for c in estimate.candidates] == names[:3]
        assert sum(c.weight for c in estimate.candidates) == pytest.approx(1)


def test_knn_of_a_deleted_neighbour_is_knn_of_the_rest():
    responses, embedding = draw_responses(seed=5), draw_embedding()
    neighbours = nearest(embedding, responses.perturbations, k=3)
    predict = knn.ARM.fit(responses, embedding, neighbours, {"topk_rag": 3})
    gone = neighbours.candidates("P04")[0][1]
    rest = responses.without(responses.rows(perturbation=gone))
    without = knn.ARM.fit(rest, embedding, neighbours, {"topk_rag": 3})("a", "P04")
    np.testing.assert_allclose(
        predict("a", "P04").candidates[1].without, without.delta, rtol=1e-10, atol=1e-12
    )


def test_knn_and_ridge_back_off_where_there_is_no_vector():
    responses, embedding = draw_responses(seed=5), draw_embedding()
    expected = line_mean.ARM.fit(responses, None, None, {})("a", "new").delta
    neighbours = nearest(embedding, responses.perturbations)
    for arm in (knn, ridge):
        estimate = arm.ARM.fit(responses, embedding, neighbours, {"topk_rag": 3})("a", "new")
        np.testing.assert_allclose(estimate.delta, expected, rtol=1e-12)
        assert estimate.note == arm.BACK_OFF


def test_ridge_is_that_of_scikit_learn_with_the_penalty_of_brute_force_leave_one_out():
    responses = draw_responses(seed=2, n_perturbations=12, missing=0.1)
    embedding = draw_embedding(12)
    means = line_mean.ARM.fit(responses, None, None, {})
    rest = np.array(
        [
            delta - means(line, "").delta
            for delta, line in zip(responses.delta, responses.entries["cell_line"], strict=True)
        ]
    )
    names = responses.perturbations
    z = np.array([rest[responses.rows(perturbation=n)].mean(axis=0) for n in names])
    x = embedding.vectors[embedding.rows(names)].astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    scale = np.linalg.eigvalsh((x - x.mean(0)) @ (x - x.mean(0)).T).clip(0).mean()

    def error(penalty):
        total = 0.0
        for i in range(len(x)):
            keep = np.arange(len(x)) != i
            model = Ridge(alpha=penalty, solver="svd").fit(x[keep], z[keep])
            total += ((model.predict(x[i : i + 1])[0] - z[i]) ** 2).sum()
        return total

    best = min((p * scale for p in PENALTIES), key=error)
    model = Ridge(alpha=best, solver="svd").fit(x, z)
    predict = ridge.fit(responses, embedding, None, {})
    for name in ("P00", "P05", "P11"):
        vector = embedding.vectors[embedding.rows([name])].astype(float)
        told = model.predict(vector / np.linalg.norm(vector))[0] - z.mean(axis=0)
        expected = means("b", name).delta + told
        np.testing.assert_allclose(predict("b", name).delta, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("gone", [0, 1, 7])
def test_ridge_coefficients_without_entries_are_those_of_scikit_learn_on_the_rest(gone):
    """Of the rest's own means, and without perturbations that have no entry left."""
    responses, embedding = draw_responses(seed=4, missing=0.5), draw_embedding()
    regression = Regression(responses, TextSimilarity(embedding, responses.perturbations), 0.7)
    keep = np.ones(len(responses.entries), bool)
    alone = [n for n in responses.perturbations if len(responses.rows(perturbation=n)) == 1]
    keep[responses.rows(perturbation=alone[0])] = gone == 0
    keep[np.random.default_rng(0).choice(len(keep), gone, replace=False)] = False
    rest = responses.without(np.flatnonzero(~keep))
    z = np.array([rest.centred[rest.rows(perturbation=n)].mean(axis=0) for n in rest.perturbations])
    x = embedding.vectors.astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    model = Ridge(alpha=0.7, solver="svd").fit(x[embedding.rows(rest.perturbations)], z)
    told = dict(zip(embedding.names, model.predict(x) - z.mean(axis=0), strict=True))
    for name in embedding.names:
        mean = rest.delta[rest.rows("b")].mean(axis=0)
        found = regression.coefficients("b", name, keep) @ responses.delta
        np.testing.assert_allclose(found, mean + told[name], rtol=1e-9, atol=1e-11)


def test_arms_agree_where_there_is_only_one_way():
    """Every pair measured: additive = perturbation's mean − all + line's mean."""
    responses = draw_responses(seed=9, missing=0)
    every = responses.delta.mean(axis=0)
    line = line_mean.ARM.fit(responses, None, None, {})
    for name in ("P01", "P10"):
        rows = responses.rows(perturbation=name)
        expected = responses.delta[rows].mean(axis=0) + line("c", name).delta - every
        found = additive.ARM.fit(responses, None, None, {})("c", name).delta
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
        others = rows[(responses.entries["cell_line"].iloc[rows] != "c").to_numpy()]
        np.testing.assert_allclose(
            perturbation_mean.ARM.fit(responses, None, None, {})("c", name).delta,
            responses.delta[others].mean(axis=0),
        )


def test_oracle_reads_the_truth_gene_by_gene(tmp_path):
    responses = draw_responses()
    genes = ["other", *responses.genes[::-1]]
    obs = pd.DataFrame({"cell_line": ["a", "b"], "perturbation": ["P01", "P01"]}, index=["0", "1"])
    X = np.arange(2.0 * len(genes)).reshape(2, -1)
    path = tmp_path / "truth.h5ad"
    anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    predict = oracle.fit(responses, None, None, {"truth": path})
    np.testing.assert_array_equal(predict("b", "P01").delta, X[1, 1:][::-1])
    with pytest.raises(PtragError, match="no truth for 'P02' in 'a'"):
        predict("a", "P02")


def test_oracle_needs_a_simulated_screen():
    with pytest.raises(PtragError, match="only a simulated data set"):
        oracle.fit(draw_responses(), None, None, {"truth": None})
