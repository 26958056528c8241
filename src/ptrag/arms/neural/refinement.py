r"""Stage two: how the candidates of stage one enter the network (docs/concepts/arms.md).

The Gumbel refinement is written in factorised form. With c_sk = LayerNorm([h_s ; g_p ; g_k]),
γ, β its affine map, and a weight W cut into three H-blocks with γ folded in,
Wγ = [A_h | A_p | A_k],

.. math::
    W c_{sk} = r_{sk} (A_h h_s + A_p g_p + A_k g_k − m_{sk} Wγ1) + Wβ

where m and r, mean and reciprocal deviation of the concatenation, follow from each part's mean
and centred sum of squares. The same numbers as the direct form, without the S × K × 3H tensors
c; and Σ_k w_sk (W_f c_sk + b_f) needs the weighted sums over k alone. What is left of size
S × K × H, the GELU of the scorer, is made and consumed block by block.

Axes: B sets, S cells, K candidates, H hidden.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptrag.arms.neural.autocast import no_autocast, wide

EPSILON = 1e-5  # of LayerNorm, torch's own
TEMPERATURE = 0.5  # τ of the Gumbel-softmax
#: Elements of S × K × H that the scorer holds at a time on a CPU: they stay in its cache.
BLOCK = 2**18


class Refined(NamedTuple):
    """What the candidates add.

    Attributes
    ----------
    z
        (B, S, H).
    gates
        (B, S, K): the weight of each candidate for each cell.
    """

    z: Tensor
    gates: Tensor


class Parts(NamedTuple):
    """The LayerNorm of [h_s ; g_p ; g_k], as far as it does not depend on the weights.

    Attributes
    ----------
    mean, scale
        (B, S, K): mean and reciprocal standard deviation of the 3H numbers.
    """

    mean: Tensor
    scale: Tensor


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and centred sum of squares over the last axis."""
    mean = x.mean(-1)
    return mean, (x - mean.unsqueeze(-1)).square().sum(-1)


def layer_norm_parts(h: Tensor, query: Tensor, candidates: Tensor) -> Parts:
    """Return mean and scale of the concatenation from the moments of its three parts.

    Parameters
    ----------
    h, query, candidates
        (B, S, H), (B, H), (B, K, H).
    """
    mean_h, squares_h = (m[:, :, None] for m in _moments(h))
    mean_q, squares_q = (m[:, None, None] for m in _moments(query))
    mean_k, squares_k = (m[:, None, :] for m in _moments(candidates))
    mean = (mean_h + mean_q + mean_k) / 3
    between = (mean_h - mean).square() + (mean_q - mean).square() + (mean_k - mean).square()
    within = (squares_h + squares_q + squares_k) / h.shape[-1]
    return Parts(mean, ((within + between) / 3 + EPSILON).rsqrt())


def dropout_mask(shape: tuple[int, ...], rate: float, device: torch.device) -> tuple[Tensor, float]:
    """Return a mask (bool, True is kept) and the share that it keeps on average.

    Sixteen random bits an element, four elements a draw: on a CPU, where torch draws one
    number after the other, this is five times faster than drawing Bernoulli variables. The
    share is 1 − rate to within 2⁻¹⁷.
    """
    n = math.prod(shape)
    bits = torch.empty(-(-n // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
    dropped = round(rate * 2**16)
    return (bits.view(torch.int16)[:n] >= dropped - 2**15).view(shape), 1 - dropped / 2**16


class _Scores(torch.autograd.Function):
    """a_sk = W_2 drop(GELU(r (left_s + right_k − m v) + c)) + b, block by block over sets.

    left (B, S, H) and right (B, K, H) are the products of W_1's blocks; kept (B, S, K, H) bool
    is the dropout mask or None, share what it keeps. The gradient makes each block anew.
    """

    @staticmethod
    def forward(ctx, left, right, mean, scale, v, c, weight, bias, kept, share):
        B, S, _ = left.shape
        K = right.shape[1]
        scores = left.new_empty(B, S, K, len(bias))
        onto = weight / share
        for sets in _blocks(left, K):
            u = _hidden(left[sets], right[sets], mean[sets], scale[sets], v, c)
            y = F.gelu(u)
            if kept is not None:
                y.mul_(kept[sets])
            scores[sets] = F.linear(y, onto, bias)
        ctx.save_for_backward(left, right, mean, scale, v, c, weight, kept)
        ctx.share = share
        return scores

    @staticmethod
    def backward(ctx, grad):
        left, right, mean, scale, v, c, weight, kept = ctx.saved_tensors
        H = left.shape[2]
        to_left, to_right = torch.empty_like(left), torch.empty_like(right)
        to_mean, to_scale = torch.empty_like(mean), torch.empty_like(scale)
        to_weight = torch.zeros_like(weight)
        to_vectors = left.new_zeros(2, H)  # of c and of v
        back = weight.T / ctx.share
        for sets in _blocks(left, right.shape[1]):
            m, r = mean[sets], scale[sets]
            u = _hidden(left[sets], right[sets], m, r, v, c)
            to_u = F.linear(grad[sets], back)
            y = F.gelu(u)
            if kept is not None:
                keep = kept[sets].to(y)  # once: a product with bool converts it each time
                y.mul_(keep)
                to_u.mul_(keep)
            to_weight += grad[sets].flatten(0, 2).T @ y.flatten(0, 2)
            to_u = torch.ops.aten.gelu_backward(to_u, u)
            # u = r·(…) + c, so (…) = (u − c)/r
            to_scale[sets] = (torch.linalg.vecdot(to_u, u) - to_u @ c) / r
            to_mean[sets] = -r * (to_u @ v)
            rows = torch.stack([torch.ones_like(r), -r * m]).flatten(1)  # (2, bSK)
            to_vectors += rows @ to_u.flatten(0, 2)
            to_u.mul_(r.unsqueeze(-1))
            to_left[sets] = to_u.sum(2)
            to_right[sets] = to_u.sum(1)
        to_weight /= ctx.share
        to_c, to_v = to_vectors
        to_bias = grad.sum((0, 1, 2))
        return to_left, to_right, to_mean, to_scale, to_v, to_c, to_weight, to_bias, None, None


def _blocks(left: Tensor, K: int) -> list[slice]:
    """Return runs of whole sets; all sets at once where there is no cache to keep to."""
    B, S, H = left.shape
    size = max(1, BLOCK // (S * K * H)) if left.device.type == "cpu" else B
    return [slice(start, start + size) for start in range(0, B, size)]


def _hidden(left: Tensor, right: Tensor, mean: Tensor, scale: Tensor, v: Tensor, c: Tensor):
    """W_1 c_sk + b_1 of a block, (b, S, K, H)."""
    u = left.unsqueeze(2) + right.unsqueeze(1)
    return u.addcmul_(mean.unsqueeze(-1), v, value=-1).mul_(scale.unsqueeze(-1)).add_(c)


class GumbelRefinement(nn.Module):
    """A hard choice of candidates by each cell, with a straight-through gradient.

    Parameters
    ----------
    hidden
        H.
    dropout
        On the scorer's hidden layer, in training.
    published
        True: logits are divided by their standard deviation over the whole batch tensor, and
        gates are drawn at inference too. False: each cell's logits are divided by the standard
        deviation of its own K × 2 logits, and a gate at inference is its expectation.
        Standard deviations have N − 1 in the denominator.

    Notes
    -----
    A two-way Gumbel-softmax depends on the difference of its two noises alone, which is
    logistic: its include column is σ((a_include − a_exclude + logistic)/τ).
    """

    def __init__(self, hidden: int, dropout: float, published: bool) -> None:
        super().__init__()
        self.published, self.dropout = published, dropout
        self.norm = nn.LayerNorm(3 * hidden, eps=EPSILON)
        self.score_in = nn.Linear(3 * hidden, hidden)  # W_1
        self.score_out = nn.Linear(hidden, 2)  # W_2: include, exclude
        self.fuse = nn.Linear(3 * hidden, hidden)  # W_f

    @property
    def random_at_inference(self) -> bool:
        """Whether predictions need ``noise``."""
        return self.published

    def forward(
        self,
        h: Tensor,
        query: Tensor,
        candidates: Tensor,
        noise: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Refined:
        """Choose candidates for each cell and sum what is chosen.

        Parameters
        ----------
        h, query, candidates
            Encoded cells (B, S, H), perturbations (B, H) and candidates (B, K, H).
        noise
            (B, S, K) standard logistic noise where gates are drawn; drawn here if None.
        keep
            (B, K) bool: False shuts a candidate's gate.
        """
        with no_autocast(h):  # a difference of two logits decides, and their deviation divides
            h, query, candidates = wide(h, query, candidates)
            parts = layer_norm_parts(h, query, candidates)
            gates = self._gates(self._scores(h, query, candidates, parts), noise)
            if keep is not None:
                gates = gates * keep.unsqueeze(1)
            return Refined(self._sum(h, query, candidates, parts, gates), gates)

    def without_each(
        self, h: Tensor, query: Tensor, candidates: Tensor, refined: Refined
    ) -> Tensor:
        """Return z without one candidate, the other gates as they are, (K, B, S, H)."""
        parts = layer_norm_parts(h, query, candidates)
        on_h, on_query, on_candidate, ones, constant = self._split(self.fuse)
        own = F.linear(h, on_h) + F.linear(query, on_query).unsqueeze(1)  # (B, S, H)
        fused = own.unsqueeze(2) + F.linear(candidates, on_candidate).unsqueeze(1)
        fused = fused.addcmul_(parts.mean.unsqueeze(-1), ones, value=-1)
        fused = fused.mul_(parts.scale.unsqueeze(-1)).add_(constant)  # W_f c_sk + b_f
        without = refined.z.unsqueeze(2) - refined.gates.unsqueeze(-1) * fused
        return without.permute(2, 0, 1, 3)

    def _split(self, layer: nn.Linear) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the three H-blocks of Wγ, Wγ1 and Wβ + b."""
        weight = layer.weight * self.norm.weight
        blocks = weight.chunk(3, dim=1)
        return *blocks, weight.sum(1), layer.weight @ self.norm.bias + layer.bias

    def _scores(self, h: Tensor, query: Tensor, candidates: Tensor, parts: Parts) -> Tensor:
        """Logits a, (B, S, K, 2)."""
        on_h, on_query, on_candidate, ones, constant = self._split(self.score_in)
        left = F.linear(h, on_h) + F.linear(query, on_query).unsqueeze(1)
        right = F.linear(candidates, on_candidate)
        kept, share = None, 1.0
        if self.training and self.dropout > 0:
            kept, share = dropout_mask((*parts.mean.shape, left.shape[-1]), self.dropout, h.device)
        out = self.score_out
        return _Scores.apply(left, right, *parts, ones, constant, out.weight, out.bias, kept, share)

    def _gates(self, scores: Tensor, noise: Tensor | None) -> Tensor:
        """Gates w, (B, S, K)."""
        if self.published:
            deviation = scores.std()
        else:
            deviation = scores.flatten(2).std(2).unsqueeze(2)
        # the clamp is for logits that are equal to rounding: an advantage of 0, not 0/0
        deviation = deviation.clamp_min(torch.finfo(scores.dtype).eps)
        advantage = (scores[..., 0] - scores[..., 1]) / deviation
        if not (self.training or self.published):
            return advantage.sigmoid()
        if noise is None:
            uniform = torch.rand_like(advantage)
            noise = torch.logit(uniform, eps=torch.finfo(uniform.dtype).tiny)
        soft = ((advantage + noise) / TEMPERATURE).sigmoid()
        return (soft > 0.5).to(soft) - soft.detach() + soft

    def _sum(
        self, h: Tensor, query: Tensor, candidates: Tensor, parts: Parts, gates: Tensor
    ) -> Tensor:
        """Return z = Σ_k w_sk (W_f c_sk + b_f), (B, S, H)."""
        on_h, on_query, on_candidate, ones, constant = self._split(self.fuse)
        scaled = gates * parts.scale  # (B, S, K)
        own = F.linear(h, on_h) + F.linear(query, on_query).unsqueeze(1)
        z = torch.baddbmm(
            scaled.sum(2, keepdim=True) * own, scaled, F.linear(candidates, on_candidate)
        )
        z = z - (scaled * parts.mean).sum(2, keepdim=True) * ones
        return z + gates.sum(2, keepdim=True) * constant


class CrossAttention(nn.Module):
    """Candidates by attention of each cell's input: softmax(q·k/√H) v.

    Parameters
    ----------
    hidden
        H.
    """

    random_at_inference = False

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)

    def forward(
        self,
        h: Tensor,
        query: Tensor,
        candidates: Tensor,
        noise: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Refined:
        """Attend to the candidates; arguments as :meth:`GumbelRefinement.forward`.

        Attention needs no noise. A candidate that is not kept gives its weight to the others.
        """
        logits = self._logits(h, query, candidates)
        if keep is not None:
            logits = logits.masked_fill(~keep.unsqueeze(1), torch.finfo(logits.dtype).min)
        weights = logits.softmax(-1)
        if keep is not None:
            weights = weights * keep.unsqueeze(1)  # where none is kept, nothing is added
        return Refined(weights @ self.value(candidates), weights)

    def without_each(
        self, h: Tensor, query: Tensor, candidates: Tensor, refined: Refined
    ) -> Tensor:
        """Return z without one candidate, whose weight the others take, (K, B, S, H)."""
        B, S, K = refined.gates.shape
        logits = self._logits(h, query, candidates).expand(K, B, S, K)
        left_out = torch.eye(K, dtype=torch.bool, device=h.device)[:, None, None]  # (K, 1, 1, K)
        weights = logits.masked_fill(left_out, torch.finfo(logits.dtype).min).softmax(-1)
        return (weights * ~left_out) @ self.value(candidates)

    def _logits(self, h: Tensor, query: Tensor, candidates: Tensor) -> Tensor:
        q = self.query(h + query.unsqueeze(1))
        return q @ self.key(candidates).transpose(1, 2) / q.shape[-1] ** 0.5  # (B, S, K)
