"""Energy distance between sets of cells: the training loss, and what validation measures.

Axes: B sets, S and T cells, G genes.
"""

import torch
from torch import Tensor

from ptrag.arms.neural.autocast import no_autocast, wide


class _Distances(torch.autograd.Function):
    """Euclidean distances through one matrix product, and a gradient through another.

    ∂‖x_i − y_j‖/∂x_i = (x_i − y_j)/‖x_i − y_j‖, and 0 where the two coincide; differences
    of all pairs (S × T × G) are never formed.
    """

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor) -> Tensor:
        squares = torch.baddbmm(
            x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2),
            x, y.transpose(-2, -1), alpha=-2,
        )  # fmt: skip
        distances = squares.clamp_(min=0).sqrt_()  # (B, S, T)
        ctx.save_for_backward(x, y, distances)
        return distances

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y, distances = ctx.saved_tensors
        weight = torch.where(distances > 0, grad / distances, 0)  # (B, S, T)
        to_x = to_y = None
        if ctx.needs_input_grad[0]:
            to_x = torch.baddbmm(x * weight.sum(2, keepdim=True), weight, y, alpha=-1)
        if ctx.needs_input_grad[1]:
            back = weight.transpose(1, 2)
            to_y = torch.baddbmm(y * back.sum(2, keepdim=True), back, x, alpha=-1)
        return to_x, to_y


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distances of two sets of cells.

    Parameters
    ----------
    x, y
        (B, S, G) and (B, T, G).

    Returns
    -------
    Tensor
        (B, S, T).
    """
    return _Distances.apply(x, y)


def energy_distance(predicted: Tensor, observed: Tensor) -> Tensor:
    r"""Return the energy distance of each set, by geomloss's convention.

    .. math:: E = \overline{‖x_i−y_j‖} − ½\,\overline{‖x_i−x_{i'}‖} − ½\,\overline{‖y_j−y_{j'}‖}

    the means over all pairs, each cell with itself too: half the textbook V-statistic.

    Parameters
    ----------
    predicted, observed
        (B, S, G) and (B, T, G), any scale.

    Returns
    -------
    Tensor
        (B,), at least 0 up to rounding; 0 where the two sets are equal.
    """
    with no_autocast(predicted):  # x² + y² − 2xy needs all digits
        predicted, observed = wide(predicted, observed)
        # the same shift of all cells changes no distance, and keeps their squares small enough
        # to lose little
        centre = observed.mean(dim=1, keepdim=True)
        predicted, observed = predicted - centre, observed - centre
        between = distances(predicted, observed).mean((1, 2))
        # by symmetry, the gradient through both sides is twice that through one
        half = _within(predicted, predicted.detach())
        with torch.no_grad():
            constant = 0.5 * (half - _within(observed, observed))
        return between - half + constant


def unbiased_energy(predicted: Tensor, observed: Tensor, real_spread: float) -> Tensor:
    r"""Return the textbook energy distance of two samples, within-terms over distinct cells.

    .. math:: E = 2\,\overline{‖x_i−y_j‖} − \overline{‖x_i−x_{i'}‖} − \overline{‖y_j−y_{j'}‖}

    the means of the within-terms over i ≠ i' and j ≠ j'. Its expectation does not depend on the
    sizes of the samples and is 0 where both come from one distribution (Székely & Rizzo, J. Stat.
    Plan. Inference 143 (2013), 1249-1272).

    Parameters
    ----------
    predicted, observed
        (n, G) and (m, G), any scale.
    real_spread
        :func:`mean_of_distinct` of the observed cells, which no weights change.
    """
    centre = observed.mean(dim=0, keepdim=True)
    predicted, observed = (predicted - centre).unsqueeze(0), (observed - centre).unsqueeze(0)
    between = distances(predicted, observed).mean()
    return 2 * between - mean_of_distinct(predicted[0]) - real_spread


def mean_of_distinct(cells: Tensor) -> Tensor:
    """Return the mean distance of distinct cells of (n, G); 0 for one cell."""
    n = len(cells)
    centred = (cells - cells.mean(dim=0, keepdim=True)).unsqueeze(0)
    return _within(centred, centred)[0] * n / max(n - 1, 1)


def _within(x: Tensor, same: Tensor) -> Tensor:
    """Mean distance of all pairs of one set, (B,); a cell is at distance 0 from itself."""
    # x² + x² − 2xx is not exactly 0: the root of its rounding error would be far from it
    apart = ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    return torch.where(apart, distances(x, same), 0).mean((1, 2))
