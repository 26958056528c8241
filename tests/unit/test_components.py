"""Components of responses: projections against explicit matrices, signals against the truth."""

import numpy as np
import pandas as pd
import pytest

from ptrag.arms.expert.components import Components, principal, spiked
from ptrag.cells.responses import Responses


def screen(strengths, n=400, n_genes=60, seed=0, noise=1.0):
    """Entries of one line: low-rank signals of given strengths in units of noise, and noise."""
    rng = np.random.default_rng(seed)
    scale = noise * rng.uniform(0.5, 2, n_genes)
    directions = np.linalg.qr(rng.normal(size=(n_genes, len(strengths))))[0].T
    signal = rng.normal(size=(n, len(strengths))) * np.sqrt(strengths) @ directions
    delta = scale * (signal + rng.normal(size=(n, n_genes)))
    entries = pd.DataFrame(
        {"cell_line": "a", "perturbation": [f"P{i:03d}" for i in range(n)], "n_cells": 9}
    )
    return directions, Responses(
        [f"G{i}" for i in range(n_genes)], entries, delta, np.tile(scale, (n, 1)),
        {"a": np.zeros(n_genes)}, {"a": np.zeros(n_genes)},
    )  # fmt: skip


def test_the_groups_are_projections_that_sum_to_one():
    _, responses = screen([30, 20, 10, 8, 5])
    its = Components.of(responses)
    assert [len(d) for d in its.directions] == [3, 2]
    x = np.random.default_rng(1).normal(size=(3, 60))
    np.testing.assert_allclose(its.join(its.split(x)), x, rtol=1e-10, atol=1e-12)
    assert [part.shape for part in its.split(x)] == [(3, 3), (3, 2), (3, 60)]
    left, projections = np.eye(60), []
    for c, directions in enumerate([*its.directions, None]):
        project = left if directions is None else directions.T @ directions
        left = left - project
        projections.append(project)
        np.testing.assert_allclose(project @ project, project, atol=1e-10)
        parts = [x if i == c else np.zeros_like(x) for i in range(3)]
        expected = (x / its.scale) @ project * its.scale
        of_groups = [its.split(part)[group] for group, part in enumerate(parts)]
        np.testing.assert_allclose(its.join(of_groups), expected, atol=1e-10)
    omega = np.random.default_rng(2).normal(size=(3, 400))
    mixed = [o @ responses.delta / its.scale for o in omega]
    expected = its.scale * sum(of @ p for of, p in zip(mixed, projections, strict=True))
    coordinates = its.split(responses.delta)
    found = its.join([o @ of for o, of in zip(omega, coordinates, strict=True)])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("shape", [(30, 80), (80, 30)])
def test_principal_components_are_singular_vectors(shape):
    values = np.random.default_rng(0).normal(size=shape)
    squares, directions = principal(values)
    _, lengths, expected = np.linalg.svd(values, full_matrices=False)
    np.testing.assert_allclose(squares, lengths**2, rtol=1e-8)
    signs = np.sign((directions * expected).sum(axis=1))
    np.testing.assert_allclose(directions * signs[:, None], expected, atol=1e-8)


@pytest.mark.parametrize("n", [60, 400])
def test_signal_along_a_found_direction_is_what_the_truth_has_there(n):
    strengths = np.array([40.0, 15.0])
    found, true = [], []
    for seed in range(5):
        directions, responses = screen(strengths, n, seed=seed)
        white = responses.centred / responses.se[0]
        _, lengths, measured = np.linalg.svd(white, full_matrices=False)
        signal = spiked(lengths**2 / (n - 1), 60 / n)
        assert np.count_nonzero(signal) == 2
        found.append(signal[:2])
        true.append(((measured[:2] @ directions.T) ** 2) @ strengths)
    np.testing.assert_allclose(np.mean(found, axis=0), np.mean(true, axis=0), rtol=0.15)


def test_clearer_components_are_trusted_more():
    _, responses = screen([30, 20, 10, 8, 5])
    its = Components.of(responses)
    assert (np.diff(its.reliability) > 0).all()  # a factor of squared errors
    assert its.reliability[0] < 1 < its.reliability[-1]
    assert its.share.sum() == pytest.approx(1)


@pytest.mark.parametrize("noise", [1.0, 0.0])
def test_noise_alone_or_none_has_one_group(noise):
    _, responses = screen([1e-6], noise=noise)
    its = Components.of(responses)
    assert its.directions == ()
    np.testing.assert_array_equal(its.reliability, [1.0])


def test_no_entries_have_one_group():
    _, responses = screen([9.0])
    its = Components.of(responses.without(np.arange(400)))
    assert its.directions == ()
