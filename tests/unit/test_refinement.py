import numpy as np
import pytest
import torch
import torch.nn.functional as F
from direct_form import DirectRefinement

from ptrag.models import refinement
from ptrag.models.refinement import CrossAttention, GumbelRefinement, dropout_mask, layer_norm_parts

B, S, K, H = 3, 5, 4, 6


def inputs(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    sizes = [(B, S, H), (B, H), (B, K, H)]
    return [
        (torch.randn(size, generator=generator, dtype=torch.float64) * 2 + 1).to(dtype)
        for size in sizes
    ]


def logistic(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).logistic(size=(B, S, K)))


def pair_of_forms(published, dropout=0.3):
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


def test_float32_stays_near_float64():
    factorised, direct = (form.eval() for form in pair_of_forms(published=False))
    exact = direct(*inputs())
    single = factorised.float()(*inputs(dtype=torch.float32))
    torch.testing.assert_close(single.gates.double(), exact.gates, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(single.z.double(), exact.z, rtol=1e-4, atol=1e-3)


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
        mean = sum(form(*leaves).gates for _ in range(draws)) / draws
    error = (mean - expected) / (expected * (1 - expected) / draws).sqrt().clamp_min(1e-4)
    assert error.abs().max() < 5


def test_drawn_gates_are_hard_and_their_gradient_is_the_soft_one():
    form, _ = pair_of_forms(published=True, dropout=0.0)
    gates = form.train()(*inputs(), logistic()).gates
    torch.testing.assert_close(gates, gates.round(), rtol=0, atol=1e-12)
    assert set(gates.round().unique().tolist()) == {0.0, 1.0}
    gates.sum().backward()
    assert form.score_in.weight.grad.abs().max() > 0


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


def test_one_candidate_and_equal_logits_stay_finite():
    form = GumbelRefinement(H, 0.0, published=False).eval()
    torch.nn.init.zeros_(form.score_out.weight)
    torch.nn.init.zeros_(form.score_out.bias)
    h, query, candidates = inputs(dtype=torch.float32)
    z, gates = form(h, query, candidates[:, :1])
    assert torch.isfinite(z).all()
    torch.testing.assert_close(gates, torch.full_like(gates, 0.5))


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
