import numpy as np
import pytest
import torch
import torch.nn.functional as F
from direct_form import DirectRefinement

from ptrag.arms.neural import refinement
from ptrag.arms.neural.refinement import (
    CrossAttention,
    GumbelRefinement,
    dropout_mask,
    layer_norm_parts,
)

B, S, K, H = 3, 5, 4, 6


def inputs(seed=0, dtype=torch.float64, shape=(B, S, K, H)):
    generator = torch.Generator().manual_seed(seed)
    B, S, K, H = shape
    sizes = [(B, S, H), (B, H), (B, K, H)]
    return [
        (torch.randn(size, generator=generator, dtype=torch.float64) * 2 + 1).to(dtype)
        for size in sizes
    ]


def logistic(seed=0, size=(B, S, K)):
    return torch.from_numpy(np.random.default_rng(seed).logistic(size=size))


def pair_of_forms(published, dropout=0.3, H=H):
    """The factorised and the direct form, the same random parameters, affine ones too."""
    torch.manual_seed(1)
    factorised = GumbelRefinement(H, dropout, published).double()
    for parameter in factorised.parameters():
        torch.nn.init.normal_(parameter)
    direct = DirectRefinement(H, dropout, published).double()
    direct.load_state_dict(factorised.state_dict())
    return factorised, direct


def outputs_and_gradients(form, leaves, noise, keep):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    form.zero_grad()
    torch.manual_seed(7)  # of the dropout mask
    z, gates = form(*leaves, noise, keep)
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(3), dtype=z.dtype)
    ((z * weights).sum() + (gates * gates.detach().cos()).sum() + gates.mean()).backward()
    gradients = [leaf.grad for leaf in leaves] + [p.grad for p in form.parameters()]
    return [z, gates], gradients


@pytest.mark.parametrize("block", [1, 10**9], ids=["set by set", "all sets at once"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("published", [True, False], ids=["published", "residual"])
def test_factorised_form_is_the_direct_form_to_1e_9(published, training, block, monkeypatch):
    monkeypatch.setattr(refinement, "BLOCK", block)
    keep = torch.ones(B, K, dtype=torch.bool)
    keep[1, 2] = False
    factorised, direct = (form.train(training) for form in pair_of_forms(published))
    got, got_grad = outputs_and_gradients(factorised, inputs(), logistic(), keep)
    wanted, wanted_grad = outputs_and_gradients(direct, inputs(), logistic(), keep)
    for ours, oracle in zip(got + got_grad, wanted + wanted_grad, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-9, atol=1e-9)
    assert all(g.abs().sum() > 0 for g in wanted_grad)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 4), (1, 7, 1, 6), (4, 1, 9, 5), (2, 3, 1, 1), (2, 64, 32, 16)]
)
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("published", [True, False], ids=["published", "residual"])
def test_factorised_form_is_the_direct_form_at_every_shape(published, training, shape):
    B, S, K, H = shape
    leaves, noise = inputs(shape=shape), logistic(size=(B, S, K))
    keep = torch.rand(B, K, generator=torch.Generator().manual_seed(5)) > 0.3
    forms = [form.train(training) for form in pair_of_forms(published, H=H)]
    (got, got_grad), (wanted, wanted_grad) = (
        outputs_and_gradients(form, leaves, noise, keep) for form in forms
    )
    # K = 1: the deviation is that of two logits, whose difference it divides: large gradients
    for ours, oracle in zip(got + got_grad, wanted + wanted_grad, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-9, atol=1e-9)


def test_single_precision_is_within_rounding_at_the_papers_sizes():
    """Outputs of up to 44 within 2e-5, gradients within 4e-6 of their norm."""
    shape = (4, 64, 32, 128)
    torch.manual_seed(2)
    single = GumbelRefinement(128, 0.1, published=False).eval()
    exact = DirectRefinement(128, 0.1, published=False).double().eval()
    exact.load_state_dict(single.state_dict())
    results = []
    for form, dtype in ((single, torch.float32), (exact, torch.float64)):
        leaves = [((x - 1) / 2).to(dtype).requires_grad_() for x in inputs(shape=shape)]
        z, gates = form(*leaves)
        (z.square().mean() + gates.mean()).backward()
        gradients = [x.grad for x in [*leaves, *form.parameters()]]
        results.append(([z.detach(), gates.detach()], gradients))
    (outputs, gradients), (exact_outputs, exact_gradients) = results
    assert exact_outputs[0].abs().max() > 30
    for ours, oracle in zip(outputs, exact_outputs, strict=True):
        assert (ours - oracle).abs().max() < 2e-5
    for ours, oracle in zip(gradients, exact_gradients, strict=True):
        assert (ours - oracle).norm() < 4e-6 * oracle.norm()


def test_layer_norm_parts_are_mean_and_scale_of_the_concatenation():
    h, query, candidates = inputs()
    parts = layer_norm_parts(h, query, candidates)
    joined = torch.cat([h[1, 2], query[1], candidates[1, 3]])
    torch.testing.assert_close(parts.mean[1, 2, 3], joined.mean())
    torch.testing.assert_close(
        parts.scale[1, 2, 3], 1 / (joined.var(correction=0) + refinement.EPSILON).sqrt()
    )


def test_layer_norm_parts_survive_a_large_common_offset():
    h, query, candidates = (x + 1e4 for x in inputs())
    parts = layer_norm_parts(h.float(), query.float(), candidates.float())
    exact = layer_norm_parts(h, query, candidates)
    torch.testing.assert_close(parts.scale.double(), exact.scale, rtol=1e-2, atol=0)


def test_drawn_gates_are_taken_with_the_softmax_probability():
    """A hard two-way Gumbel choice includes with probability σ(a₁ − a₂), whatever τ."""
    form, _ = pair_of_forms(published=False, dropout=0.0)
    leaves = inputs()
    expected = form.eval()(*leaves).gates
    torch.manual_seed(0)
    draws = 2000
    form.train()
    with torch.no_grad():
        many = form(*(x.repeat(draws, *[1] * (x.dim() - 1)) for x in leaves)).gates
    mean = many.view(draws, B, S, K).mean(0)
    error = (mean - expected) / (expected * (1 - expected) / draws).sqrt().clamp_min(1e-4)
    assert error.abs().max() < 5


def test_drawn_gates_are_hard_and_their_gradient_is_the_soft_one():
    form, _ = pair_of_forms(published=True, dropout=0.0)
    gates = form.train()(*inputs(), logistic()).gates
    torch.testing.assert_close(gates, gates.round(), rtol=0, atol=1e-12)
    assert set(gates.round().unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("published", [True, False])
def test_the_gradient_of_a_drawn_gate_is_that_of_its_softmax(published):
    """∂w/∂a of softmax((a + noise)/τ), by finite differences of NumPy."""
    form, noise = pair_of_forms(published)[0].train(), logistic()
    rng = np.random.default_rng(0)
    a, weights = rng.normal(size=(B, S, K, 2)), rng.normal(size=(B, S, K))

    def soft(a):
        own = a.std(ddof=1) if published else a.reshape(B, S, -1).std(-1, ddof=1)[..., None]
        advantage = (a[..., 0] - a[..., 1]) / own
        return (weights / (1 + np.exp(-(advantage + noise.numpy()) / 0.5))).sum()

    scores = torch.from_numpy(a).requires_grad_()
    (form._gates(scores, noise) * torch.from_numpy(weights)).sum().backward()
    step = 1e-6
    for place in [(0, 0, 0, 0), (0, 0, 0, 1), (2, 4, 3, 1), (1, 2, 3, 0)]:
        up, down = a.copy(), a.copy()
        up[place] += step
        down[place] -= step
        slope = (soft(up) - soft(down)) / (2 * step)
        assert scores.grad[place].item() == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_residual_form_at_inference_ignores_batch_mates_order_and_seed():
    form = pair_of_forms(published=False)[0].float().eval()
    h, query, candidates = inputs(dtype=torch.float32)
    torch.manual_seed(1)
    whole = form(h, query, candidates)
    torch.manual_seed(2)
    order = torch.tensor([2, 0, 1])
    turned = form(h[order], query[order], candidates[order])
    torch.testing.assert_close(turned.z, whole.z[order], rtol=1e-5, atol=1e-5)
    alone = form(h[1:2], query[1:2], candidates[1:2])
    torch.testing.assert_close(alone.z, whole.z[1:2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone.gates, whole.gates[1:2], rtol=1e-5, atol=1e-6)


def test_published_form_at_inference_shares_its_deviation_with_the_batch():
    form = pair_of_forms(published=True)[0].eval()
    leaves = inputs()
    scores = form._scores(*leaves, layer_norm_parts(*leaves))
    advantage = (scores[..., 0] - scores[..., 1]) / scores.std()
    noise = logistic()
    gates = form(*leaves, noise).gates
    np.testing.assert_array_equal(gates.detach().round() == 1, (advantage + noise) > 0)
    other = form(*leaves, -noise).gates
    assert not torch.equal(other, gates)


def test_a_candidate_left_out_takes_its_own_term_away_and_nothing_else():
    form, direct = (f.eval() for f in pair_of_forms(published=True))
    leaves, noise = inputs(), logistic()
    whole = form(*leaves, noise)
    keep = torch.ones(B, K, dtype=torch.bool)
    keep[:, 1] = False
    without = form(*leaves, noise, keep)
    others = [0, 2, 3]
    torch.testing.assert_close(without.gates[..., others], whole.gates[..., others])
    assert not without.gates[..., 1].any()
    only = direct(*leaves, noise, ~keep)
    torch.testing.assert_close(without.z, whole.z - only.z, rtol=1e-9, atol=1e-9)


def test_nothing_chosen_gives_zero():
    form = pair_of_forms(published=True)[0].eval()
    z, gates = form(*inputs(), torch.full((B, S, K), -1e9, dtype=torch.float64))
    assert not gates.any()
    assert not z.any()


@pytest.mark.parametrize("bias", [0.0, 1.5])
@pytest.mark.parametrize("published", [True, False])
def test_one_candidate_and_equal_logits_stay_finite(published, bias):
    form = GumbelRefinement(H, 0.0, published).eval()
    torch.nn.init.zeros_(form.score_out.weight)
    torch.nn.init.constant_(form.score_out.bias, bias)
    h, query, candidates = inputs(dtype=torch.float32)
    z, gates = form(h, query, candidates[:, :1], torch.ones(B, S, 1))
    torch.testing.assert_close(gates, torch.full_like(gates, 1.0 if published else 0.5))
    z.sum().backward()
    assert torch.isfinite(z).all()
    assert all(torch.isfinite(p.grad).all() for p in form.parameters())


@pytest.mark.parametrize("shape", [(7,), (3, 5), (40, 50, 101)])
def test_dropout_mask_keeps_its_share(shape):
    torch.manual_seed(0)
    mask, share = dropout_mask(shape, 0.1, torch.device("cpu"))
    assert mask.shape == shape
    assert mask.dtype == torch.bool
    assert abs(share - 0.9) < 2**-17
    n = mask.numel()
    if n > 1000:
        assert abs(mask.double().mean() - share) < 5 * (share * (1 - share) / n) ** 0.5
        # the four lanes of one draw are as random as any
        lanes = mask.flatten()[: n // 4 * 4].view(-1, 4).double().mean(0)
        assert (lanes - share).abs().max() < 5 * (share * (1 - share) / (n / 4)) ** 0.5


def test_cross_attention_is_torch_attention():
    torch.manual_seed(0)
    form = CrossAttention(H).double()
    h, query, candidates = inputs()
    z, weights = form(h, query, candidates)
    q = form.query(h + query[:, None])
    oracle = F.scaled_dot_product_attention(q, form.key(candidates), form.value(candidates))
    torch.testing.assert_close(z, oracle, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, S, dtype=torch.float64))


def test_cross_attention_without_a_candidate_is_that_of_the_others():
    torch.manual_seed(0)
    form = CrossAttention(H).double()
    h, query, candidates = inputs()
    keep = torch.ones(B, K, dtype=torch.bool)
    keep[:, 2] = False
    masked = form(h, query, candidates, None, keep)
    fewer = form(h, query, candidates[:, [0, 1, 3]])
    torch.testing.assert_close(masked.z, fewer.z)
    assert not masked.gates[..., 2].any()


def test_cross_attention_without_any_candidate_adds_nothing():
    form = CrossAttention(H).double()
    h, query, candidates = inputs()
    z, weights = form(h, query, candidates[:, :1], None, torch.zeros(B, 1, dtype=torch.bool))
    assert not weights.any()
    assert not z.any()
