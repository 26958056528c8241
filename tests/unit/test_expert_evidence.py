"""The coefficients in the expert's evidence, in a line that has no entry."""

from dataclasses import replace

import numpy as np
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.expert.components import Components
from ptrag.arms.expert.expert import fit_expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.stacking import Stack


def test_coefficients_say_what_the_prediction_of_a_new_line_is_made_of():
    """Lines differ in how many entries they have: their mean is not the mean of their means."""
    responses = draw_responses(seed=7, missing=0.5, protocol="unseen_line", target="b")
    responses = responses.without(responses.rows("b"))
    assert len(responses.rows("a")) != len(responses.rows("c"))
    embedding = draw_embedding()
    neighbours = nearest(embedding, responses.perturbations)
    expert = fit_expert(responses, embedding, neighbours, {"topk_rag": len(responses.entries)})
    weights = {"perturbation_mean": 0.3, "additive": 0.2, "text_process": 0.3}
    stack = Stack(weights, np.ones(len(responses.genes)))
    one = Components.one(len(responses.genes))
    expert = replace(expert, stack=stack, level=Level.plain(responses), components=one)
    for name in responses.perturbations:
        estimate = expert("b", name)
        total = np.zeros(len(responses.genes))
        for candidate in estimate.candidates:
            row = responses.rows(candidate.line, candidate.perturbation)[0]
            total += candidate.weight * responses.delta[row]
        np.testing.assert_allclose(total, estimate.delta, rtol=1e-10, atol=1e-12)
