"""The strength of a real response: its definition on raw cells, and no bias from noise."""

from pathlib import Path

import numpy as np
import pytest
from scoring_cases import PERTURBATIONS, SETTINGS, make_split, make_store

from ptrag.cells.controls import YARDSTICK
from ptrag.evaluation.reference import build_reference, read_reference
from ptrag.evaluation.strength import strengths


def measured(folder: Path, **facts):
    """Return the reference of a screen, and the true shift of each pair."""
    folder.mkdir(exist_ok=True)
    store, shifts = make_store(folder, **facts)
    split = make_split(folder, store)
    build_reference(store, split, SETTINGS, folder / "r.h5", floor_cells=None, ceilings=False)
    return read_reference(folder / "r.h5", store, split), store, shifts


def squared(reference):
    found = strengths(reference)
    return np.sign(found) * found**2


def test_it_is_the_squared_length_of_the_delta_less_the_variances_of_both_means(tmp_path):
    reference, store, _ = measured(tmp_path)
    for pair, value in zip(reference.keys, squared(reference), strict=True):
        real = np.asarray(store.cells(*pair), float)
        controls = np.asarray(store.controls(pair.cell_line, YARDSTICK), float)
        kept = [g for g, gene in enumerate(store.genes) if gene != pair.perturbation]
        expected = 0.0
        for g in kept:
            difference = real[:, g].mean() - controls[:, g].mean()
            noise = np.var(real[:, g], ddof=1) / len(real)
            noise += np.var(controls[:, g], ddof=1) / len(controls)
            expected += difference**2 - noise
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_response_of_nothing_has_a_strength_about_zero_on_either_side(tmp_path):
    reference, _, _ = measured(tmp_path, effect=0.0)
    values = squared(reference)
    assert (values < 0).any() and (values > 0).any()
    assert abs(values.mean()) < 0.25 * np.std(values) * np.sqrt(len(values))
    assert len(values) <= 2 * len(PERTURBATIONS)


def test_more_noise_makes_a_response_no_stronger(tmp_path):
    few, _, shifts = measured(tmp_path / "few", n_cells=6)
    many, _, _ = measured(tmp_path / "many", n_cells=60)
    for reference in (few, many):
        true = [np.delete(shifts[tuple(pair)], reference.targets(pair.perturbation)) for pair in
                reference.keys]  # fmt: skip
        ratio = squared(reference).mean() / np.mean([(shift**2).sum() for shift in true])
        assert ratio == pytest.approx(1, abs=0.15)
