"""The level of a line: control noise is taken out as far as it explains the mean."""

from dataclasses import replace

import numpy as np
import pytest
from response_cases import draw_responses

from ptrag.arms.expert.level import Level
from ptrag.arms.simple.coefficients import line_mean
from ptrag.arms.simple.line_means import LineMeans, left_out_line_means


def screen(level_sd, control_sd, n_genes=400, seed=0):
    """Lines whose levels have a shared part, measured from noisy controls; and the levels."""
    responses = draw_responses(seed=seed, n_genes=n_genes, missing=0.0)
    rng = np.random.default_rng(seed + 1)
    shared = rng.normal(size=n_genes)
    levels = level_sd * np.array([shared + 0.5 * rng.normal(size=n_genes) for _ in range(3)])
    error = control_sd * rng.normal(size=levels.shape)
    deviation = responses.centred
    delta = deviation + (levels - error)[responses.line_of]
    se = np.sqrt(responses.own_variance + control_sd**2)
    control = {line: np.full(n_genes, control_sd) for line in responses.lines}
    return replace(responses, delta=delta, se=se, control_se=control), levels


def mean_errors(responses, levels):
    """Mean squared errors of the level and of the plain mean."""
    level, means = Level.fitted(responses), LineMeans.of_all(responses)
    fitted = np.array([level.of(line, means) for line in range(3)])
    plain = np.array([means.mean(line) for line in range(3)])
    return ((fitted - levels) ** 2).mean(), ((plain - levels) ** 2).mean(), level


def test_noise_of_controls_is_taken_out():
    fitted, plain, level = mean_errors(*screen(level_sd=0.1, control_sd=0.1))
    assert fitted < 0.6 * plain
    assert 0.2 < level.carried < 1
    nothing, plain, _ = mean_errors(*screen(level_sd=0.0, control_sd=0.1))
    assert nothing < 0.05 * plain


def test_the_stated_variance_is_the_mean_squared_error():
    responses, levels = screen(level_sd=0.1, control_sd=0.1, n_genes=3000)
    fitted, _, level = mean_errors(responses, levels)
    assert level.variance.mean() == pytest.approx(fitted, rel=0.1)


def test_controls_that_are_known_leave_the_mean():
    responses, _ = screen(level_sd=1.0, control_sd=1e-3)
    level, means = Level.fitted(responses), LineMeans.of_all(responses)
    np.testing.assert_allclose(level.of(1, means), means.mean(1), rtol=0.01, atol=2e-3)
    exact = replace(
        responses, control_se={line: np.zeros(400) for line in responses.lines}
    )  # fmt: skip
    np.testing.assert_allclose(Level.fitted(exact).of(1, means), means.mean(1), rtol=1e-12)


def test_genes_that_few_controls_show_are_not_known_exactly():
    """Most genes without a count among the controls: the noise is that of all cells."""
    responses, levels = screen(level_sd=0.0, control_sd=0.1)
    own = np.sqrt(responses.own_variance)
    responses = replace(responses, delta=levels[responses.line_of] + responses.centred)
    error = 0.1 * np.random.default_rng(9).normal(size=levels.shape)
    rare = np.arange(400) % 3 > 0  # their controls show nothing
    control = {
        line: np.where(rare, 0.0, np.sqrt(3) * 0.1) for line in responses.lines
    }  # fmt: skip
    se = np.sqrt(own**2 + np.array([control[line] for line in responses.entries["cell_line"]]) ** 2)
    noisy = replace(
        responses, delta=responses.delta - error[responses.line_of], se=se, control_se=control
    )
    fitted, plain, _ = mean_errors(noisy, levels)
    assert fitted < 0.2 * plain


def test_a_line_without_entries_has_what_carries_over_from_others():
    responses, _ = screen(level_sd=0.3, control_sd=0.05)
    rest = responses.without(responses.rows("c"))
    level, means = Level.fitted(rest), LineMeans.of_all(rest)
    mean = (means.mean(0) + means.mean(1)) / 2
    np.testing.assert_allclose(level.of(2, means), level.carried * mean)


def test_the_level_of_one_line_is_that_of_another_and_as_uncertain_as_it_is_large():
    """Whether the other line was there when the level was fitted, or comes later."""
    responses, _ = screen(level_sd=0.3, control_sd=0.05)
    only = responses.without(np.flatnonzero(responses.entries["cell_line"] != "a"))
    means = LineMeans.of_all(only)
    level = Level.fitted(only)
    for line in (1, 2):
        np.testing.assert_allclose(level.of(line, means), only.delta.mean(axis=0))
        np.testing.assert_allclose(level.uncertain(line, means), only.delta.mean(axis=0) ** 2)
    zeros = np.zeros(len(responses.genes))
    more = only.with_line("z", zeros, zeros)
    later, means = level.with_line("z", more), LineMeans.of_all(more)
    np.testing.assert_allclose(later.of(3, means), only.delta.mean(axis=0))
    np.testing.assert_allclose(later.uncertain(3, means), only.delta.mean(axis=0) ** 2)
    np.testing.assert_allclose(later.of(0, means), level.of(0, LineMeans.of_all(only)))


def test_coefficients_give_the_level_where_genes_are_alike():
    responses, _ = screen(level_sd=0.3, control_sd=0.1, n_genes=5)
    level = Level.fitted(responses)
    level = replace(level, trust=np.repeat(level.trust[:, :1], 5, axis=1))
    keep = np.ones(len(responses.entries), bool)
    keep[[2, 17]] = False
    means = LineMeans.of_all(responses).without([2, 17])
    omega = level.omega(1, responses, keep)
    np.testing.assert_allclose(omega @ responses.delta, level.of(1, means), rtol=1e-10)
    assert not omega[[2, 17]].any()


def test_left_out_means_are_those_of_the_simple_arm_with_a_mask():
    responses = draw_responses(seed=5).without([0])
    alone = responses.without(responses.rows("c")[1:])  # line c keeps one entry
    groups = [alone.rows(perturbation=name) for name in alone.perturbations]
    left_out = left_out_line_means(alone, groups)
    at = 0
    for group in groups:
        keep = np.ones(len(alone.entries), bool)
        keep[group] = False
        for i in group:
            omega = line_mean(alone, alone.entries["cell_line"][i], keep)
            np.testing.assert_allclose(left_out[at], omega @ alone.delta, rtol=1e-10, atol=1e-12)
            at += 1


def test_what_is_taken_from_the_mean_is_the_error_of_the_controls():
    """The profile c + error + level has less error than given controls and level have alone."""
    responses, levels = screen(level_sd=0.1, control_sd=0.1, n_genes=3000)
    level, means = Level.fitted(responses), LineMeans.of_all(responses)
    plain, freed = [], []
    for line in range(3):
        deviation = np.mean(responses.centred[responses.line_of == line], axis=0)
        # measured mean = level − error of the control mean + the entries' own
        error = levels[line] + deviation - means.mean(line)
        known = level.control_error(line, means)
        plain.append((error**2).mean())
        freed.append(((known + error) ** 2).mean())
    assert np.mean(freed) < 0.7 * np.mean(plain)


def test_the_profile_of_a_line_is_that_of_its_training_pairs():
    """Where entries are known exactly, controls have no part in the level of the profile."""
    responses, _ = screen(level_sd=0.1, control_sd=0.1)
    control = np.array([responses.control_se[line] for line in responses.entries["cell_line"]])
    responses = replace(responses, se=control)  # the entries' own cells have no error
    level, means = Level.fitted(responses), LineMeans.of_all(responses)
    for line in range(3):
        whole = level.control_error(line, means) + level.of(line, means)
        np.testing.assert_allclose(whole, means.mean(line), rtol=1e-9, atol=1e-12)
    nothing = responses.without(responses.rows("c"))
    assert not Level.fitted(nothing).control_error(2, LineMeans.of_all(nothing)).any()


def test_a_small_screen_keeps_the_direction_of_its_mean():
    """Noise that explains all of the mean leaves a tenth of it, not nothing."""
    responses, _ = screen(level_sd=0.0, control_sd=0.1)
    level = Level.fitted(responses)
    assert level.trust.min() >= 0.1 and level.trust.mean() < 0.2
