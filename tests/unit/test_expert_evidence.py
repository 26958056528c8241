"""An expert in a line without entries: what its evidence adds up to, and what it leaves behind."""

import gc
import weakref
from dataclasses import replace

import numpy as np
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert.components import Components
from ptrag.arms.expert.expert import fit_expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.stacking import Stack


def small_expert(members):
    """An expert for a new line, b, with equal weights, slopes of one and means for levels."""
    responses = draw_responses(seed=7, missing=0.5, protocol="unseen_line", target="b")
    responses = responses.without(responses.rows("b"))
    embedding = draw_embedding()
    neighbours = nearest(embedding, responses.perturbations)
    expert = fit_expert(responses, embedding, neighbours, {"topk_rag": len(responses.entries)})
    stack = Stack(dict.fromkeys(members, 0.3), np.ones(len(responses.genes)))
    one = Components.one(len(responses.genes))
    return replace(expert, stack=stack, level=Level.plain(responses), components=one)


def test_coefficients_say_what_the_prediction_of_a_new_line_is_made_of():
    """Lines differ in how many entries they have: their mean is not the mean of their means."""
    expert = small_expert(("perturbation_mean", "additive", "text_process"))
    responses = expert.responses
    assert len(responses.rows("a")) != len(responses.rows("c"))
    for name in responses.perturbations:
        estimate = expert("b", name)
        total = np.zeros(len(responses.genes))
        for candidate in estimate.candidates:
            row = responses.rows(candidate.line, candidate.perturbation)[0]
            total += candidate.weight * responses.delta[row]
        np.testing.assert_allclose(total, estimate.delta, rtol=1e-10, atol=1e-12)


def test_a_fitted_expert_is_freed_when_it_is_done_with():
    """Its solved processes take gigabytes: they must not wait for a collection of cycles."""
    expert = small_expert(("knn", "text_process"))
    process = weakref.ref(expert.member("text_process"))
    expert("b", "P03")
    gc.disable()
    try:
        del expert
        assert process() is None
    finally:
        gc.enable()
