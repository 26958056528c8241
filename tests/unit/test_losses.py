import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from ptrag.arms.neural.losses import (
    distances,
    energy_distance,
    mean_of_distinct,
    unbiased_energy,
)


def two_sets(S=6, T=9, G=5, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((3, S, G))), torch.from_numpy(rng.random((3, T, G)) + 0.3)


def brute_force(x, y):
    """Mean‖x−y‖ − ½ mean‖x−x'‖ − ½ mean‖y−y'‖, one set."""
    return cdist(x, y).mean() - 0.5 * cdist(x, x).mean() - 0.5 * cdist(y, y).mean()


def test_distances_are_scipys():
    x, y = two_sets()
    oracle = np.stack([cdist(a, b) for a, b in zip(x, y, strict=True)])
    np.testing.assert_allclose(distances(x, y), oracle, rtol=1e-10)


def test_energy_distance_is_the_brute_force_one():
    x, y = two_sets()
    oracle = [brute_force(a, b) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(energy_distance(x, y), oracle, rtol=1e-10)


def test_energy_distance_by_hand():
    x = torch.tensor([[[0.0], [2.0]]], dtype=torch.float64)
    y = torch.tensor([[[1.0], [5.0]]], dtype=torch.float64)
    # between: (1+5+1+3)/4; within x: (0+2+2+0)/4; within y: (0+4+4+0)/4
    assert energy_distance(x, y).item() == pytest.approx(2.5 - 0.5 * 1 - 0.5 * 2)


def test_gradients_are_those_of_the_differences():
    x, y = two_sets(S=3, T=4, G=2)
    torch.autograd.gradcheck(distances, (x.requires_grad_(), y.requires_grad_()))
    torch.autograd.gradcheck(lambda x: energy_distance(x, y.detach()), x.detach().requires_grad_())


def test_single_precision_on_expression_sized_cells():
    rng = np.random.default_rng(0)
    x = rng.gamma(0.5, 1.0, (2, 64, 2000)).astype(np.float32)
    y = rng.gamma(0.6, 1.0, (2, 64, 2000)).astype(np.float32)
    got = energy_distance(torch.from_numpy(x), torch.from_numpy(y))
    oracle = [brute_force(a, b) for a, b in zip(x.astype(float), y.astype(float), strict=True)]
    np.testing.assert_allclose(got, oracle, rtol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_cells_that_coincide_have_finite_gradients(offset):
    x = torch.full((1, 4, 3), 0.7, requires_grad=True)
    y = torch.full((1, 4, 3), 0.7 + offset)
    energy = energy_distance(x, y)
    energy.sum().backward()
    assert energy.item() == pytest.approx(offset * 3**0.5, abs=1e-3)
    assert torch.isfinite(x.grad).all()


def test_a_set_is_at_distance_zero_from_itself_and_sets_are_apart_symmetrically():
    x, y = two_sets(S=9)
    assert energy_distance(x, x).abs().max() < 1e-6
    torch.testing.assert_close(energy_distance(x, y), energy_distance(y, x))
    assert (energy_distance(x, y) > 0).all()


def textbook(x, y):
    """2 E‖x−y‖ − E‖x−x'‖ − E‖y−y'‖ over distinct cells, from scipy's condensed distances."""
    return 2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()


def test_unbiased_energy_is_the_textbook_one():
    x, y = (part[0] for part in two_sets())
    energy = unbiased_energy(x, y, float(mean_of_distinct(y)))
    assert float(energy) == pytest.approx(textbook(x, y), rel=1e-10)
    assert float(mean_of_distinct(y)) == pytest.approx(pdist(y).mean(), rel=1e-10)


def test_unbiased_energy_of_right_samples_is_centred_at_zero_whatever_their_size():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(400):
        x, y = (torch.from_numpy(rng.gamma(1.0, 1.0, (n, 20))) for n in (12, 40))
        values.append(float(unbiased_energy(x, y, float(mean_of_distinct(y)))))
    error = np.std(values) / len(values) ** 0.5
    assert abs(np.mean(values)) < 3 * error
    # what training minimises, of the same samples, is not centred: it has the cells' distances to
    # themselves
    assert float(energy_distance(x[None], y[None])[0]) > 10 * error


def test_one_cell_has_no_spread():
    assert float(mean_of_distinct(torch.rand(1, 5))) == 0.0
