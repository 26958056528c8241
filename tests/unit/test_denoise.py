"""The posterior of measured pairs: the textbook product of two normals, and what it is good for."""

from dataclasses import replace

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert.denoise import denoised
from ptrag.arms.expert.fitting import fit_expert


@pytest.fixture(scope="module")
def screen():
    """Noisy measurements of a screen, the fitted expert, and the same screen without noise."""
    facts = {"seed": 6, "n_perturbations": 20, "n_genes": 40, "target": "b"}
    clean, noisy = draw_responses(noise=1e-9, **facts), draw_responses(noise=4.0, **facts)
    embedding = draw_embedding(20)
    near = nearest(embedding, noisy.perturbations)
    return clean, noisy, fit_expert(noisy, embedding, near, {"topk_rag": 4})


def test_the_posterior_is_the_product_of_both_normals(screen):
    _, responses, expert = screen
    rows = np.array([0, 7, 23])
    clean = denoised(expert, rows)
    n_cells = responses.entries["n_cells"].to_numpy()
    a_cell = np.mean(responses.own_variance * n_cells[:, None], axis=0)
    for at, row in enumerate(rows):
        estimate = expert(*responses.pairs[row])
        mean = estimate.delta + estimate.origin.shared
        precise = 1 / (estimate.sd**2 - estimate.origin.shared**2)
        own, measured = n_cells[row] / a_cell, responses.delta[row] - estimate.origin.error
        expected = (precise * mean + own * measured) / (precise + own)
        np.testing.assert_allclose(clean.delta[at], expected, rtol=1e-9)
        np.testing.assert_allclose(clean.sd[at], (precise + own) ** -0.5, rtol=1e-9)
    assert list(clean.entries["perturbation"]) == [responses.pairs[i].perturbation for i in rows]


def test_it_is_nearer_to_the_truth_than_what_was_measured(screen):
    truth, responses, expert = screen
    clean = denoised(expert).delta
    assert ((clean - truth.delta) ** 2).mean() < 0.8 * ((responses.delta - truth.delta) ** 2).mean()


def test_many_cells_speak_for_themselves(screen):
    _, responses, expert = screen
    n_cells = responses.entries["n_cells"] * 10**9
    own = responses.own_variance / 10**9  # of as many cells that vary alike
    se = np.sqrt(own + (responses.se**2 - responses.own_variance))
    many = replace(responses, entries=responses.entries.assign(n_cells=n_cells), se=se)
    clean = denoised(replace(expert, responses=many), np.array([3]))
    error = expert(*responses.pairs[3]).origin.error
    np.testing.assert_allclose(clean.delta[0], responses.delta[3] - error, rtol=1e-5)
    assert (clean.own > 1 - 1e-6).all()
