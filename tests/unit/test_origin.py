"""Where a delta starts from: profile and delta are two estimates, and both reach the files."""

from dataclasses import replace

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest

from ptrag.arms.estimate import Estimate, Origin, start
from ptrag.arms.expert.fitting import fit_expert
from ptrag.prediction.closed_form import ClosedFormPredictor, prediction_of
from ptrag.prediction.prediction import GivenControls

PAIR = ("b", "P05")


@pytest.fixture(scope="module")
def expert():
    responses = draw_responses(seed=2, n_perturbations=20, n_genes=40, target="b")
    control = {line: np.full(40, 0.8) for line in responses.lines}  # hardly known
    se = np.sqrt(responses.own_variance + 0.8**2)
    responses = replace(responses, se=se, control_se=control)
    embedding = draw_embedding(20)
    near = nearest(embedding, responses.perturbations)
    fitted = fit_expert(responses, embedding, near, {"topk_rag": 4})
    fitted.share = 0.6
    return fitted


def given(responses, line, shift=0.0):
    rng = np.random.default_rng(3)
    cells = rng.gamma(2.0, 0.5, (50, len(responses.genes)))
    cells += 6 + responses.control_mean[line] + shift - cells.mean(axis=0)
    return GivenControls(line, cells.astype(np.float32), [f"c{i}" for i in range(50)])


def test_other_controls_keep_their_own_mean():
    origin = Origin(np.ones(3), np.full(3, 0.2), np.full(3, 0.5))
    np.testing.assert_allclose(start(origin, np.ones(3)), 1.7)
    np.testing.assert_allclose(start(origin, np.full(3, 1.1)), 1.6)
    np.testing.assert_allclose(start(None, np.full(3, 1.1)), 1.1)


def test_the_profile_is_origin_and_delta(expert):
    """The same profile, whatever share of the level the delta counts."""
    responses = expert.responses
    level, means = expert.level, expert._means
    controls = given(responses, "b", shift=0.0)
    estimate = expert(*PAIR)
    prediction = ClosedFormPredictor({"fit": expert}).predict(controls, "P05", 10)
    origin = start(estimate.origin, controls.mean)
    np.testing.assert_allclose(prediction.delta, prediction.profile - origin)
    np.testing.assert_allclose(prediction.delta, estimate.delta, atol=1e-9)
    whole = replace(expert, share=1.0)
    again = ClosedFormPredictor({"fit": whole}).predict(controls, "P05", 10)
    np.testing.assert_allclose(again.profile, prediction.profile, atol=1e-9)
    np.testing.assert_array_equal(again.cells, prediction.cells)
    kept = means.without(responses.rows(*PAIR))
    left = 0.4 * level.of(responses.lines.index("b"), kept)
    np.testing.assert_allclose(again.delta - prediction.delta, left, atol=1e-9)


def test_deletion_of_an_entry_is_exact_for_the_profile_too(expert):
    """What the origin would be without an entry is that of an expert that never had it."""
    estimate, responses = expert(*PAIR), expert.responses
    for candidate in estimate.candidates:
        row = responses.rows(candidate.line, candidate.perturbation)[0]
        rest = responses.without([row])
        means = type(expert._means).of_all(rest).without(rest.rows(*PAIR))
        line = rest.lines.index("b")
        expected = expert.level.control_error(line, means) + 0.4 * expert.level.of(line, means)
        mean = responses.control_mean["b"]
        np.testing.assert_allclose(start(candidate.origin, mean) - mean, expected, atol=1e-9)


def test_an_estimate_without_origin_starts_from_the_given_mean():
    responses = draw_responses(seed=2)
    controls = given(responses, "a")
    delta = np.full(len(responses.genes), 0.3)
    prediction = prediction_of(Estimate(delta), controls, "P00", 10)
    np.testing.assert_allclose(prediction.delta, delta)
    np.testing.assert_allclose(prediction.profile, controls.mean + delta)
