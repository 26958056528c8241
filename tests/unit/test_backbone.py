import pytest
import torch

from ptrag.arms.neural import attention, linear
from ptrag.arms.neural.attention import _Attention, _Heads, attend, rotary
from ptrag.arms.neural.backbone import Backbone, _GatedSilu

SIZES = {"hidden": 12, "layers": 2, "heads": 3, "head_size": 6, "feed_forward": 20}


def network(**options):
    torch.manual_seed(0)
    made = Backbone(**SIZES | options).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def cells(sets=2, size=7, hidden=12):
    return torch.randn(
        sets, size, hidden, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


PAPER = {"hidden": 128, "layers": 1, "heads": 12, "head_size": 58, "feed_forward": 2784}


@pytest.mark.parametrize("sizes", [SIZES, PAPER], ids=["small", "the paper's, one layer"])
def test_causal_backbone_is_transformers_llama(sizes):
    transformers = pytest.importorskip("transformers")
    ours = network(**sizes)
    config = transformers.LlamaConfig(
        vocab_size=1, hidden_size=sizes["heads"], intermediate_size=sizes["feed_forward"],
        num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["heads"], head_dim=sizes["head_size"], rms_norm_eps=1e-6,
        rope_theta=10_000.0, attention_bias=False, mlp_bias=False, hidden_act="silu",
    )  # fmt: skip
    config.hidden_size = sizes["hidden"]  # its check wants a multiple of the heads; its code not
    llama = transformers.LlamaModel(config).double().eval()
    # transformers makes its rotary frequencies in float32, whatever the model
    planes = torch.arange(0, sizes["head_size"], 2, dtype=torch.float64) / sizes["head_size"]
    torch.testing.assert_close(llama.rotary_emb.inv_freq.double(), 10_000**-planes)
    weights = {"norm.weight": ours.norm.weight}
    for i, block in enumerate(ours.blocks):
        q, k, v = block.query_key_value.weight.chunk(3)
        gate, up = block.gate_up.weight.chunk(2)
        weights |= {
            f"layers.{i}.self_attn.q_proj.weight": q,
            f"layers.{i}.self_attn.k_proj.weight": k,
            f"layers.{i}.self_attn.v_proj.weight": v,
            f"layers.{i}.self_attn.o_proj.weight": block.attention_out.weight,
            f"layers.{i}.mlp.gate_proj.weight": gate,
            f"layers.{i}.mlp.up_proj.weight": up,
            f"layers.{i}.mlp.down_proj.weight": block.down.weight,
            f"layers.{i}.input_layernorm.weight": block.attention_norm.weight,
            f"layers.{i}.post_attention_layernorm.weight": block.feed_norm.weight,
        }
    missing, unexpected = llama.load_state_dict(weights, strict=False)
    assert missing == ["embed_tokens.weight"]
    assert not unexpected
    x = cells(hidden=sizes["hidden"])
    leaf, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    oracle = llama(inputs_embeds=theirs, use_cache=False).last_hidden_state
    output = ours(leaf)
    torch.testing.assert_close(output, oracle, rtol=1e-5, atol=1e-5)
    onto = torch.randn_like(oracle)
    output.backward(onto)
    oracle.backward(onto)
    torch.testing.assert_close(leaf.grad, theirs.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_the_gradient_of_a_block_is_that_of_finite_differences(causal):
    made, x = network(layers=1, causal=causal), cells(sets=1, size=3)
    torch.autograd.gradcheck(made, x.requires_grad_())
    weight = made.blocks[0].gate_up.weight
    made.zero_grad()
    made(x).square().sum().backward()
    step, place = 1e-6, (3, 5)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[place] += sign * step
            values.append(made(x).square().sum().item())
            weight[place] -= sign * step
    slope = (values[0] - values[1]) / (2 * step)
    assert weight.grad[place].item() == pytest.approx(slope, rel=1e-5)


def test_a_cell_of_the_causal_backbone_sees_the_cells_before_it_alone():
    made, x = network(), cells()
    changed = x.clone()
    changed[:, 4] += 1
    before, after = made(x), made(changed)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert (after[:, 4:] - before[:, 4:]).abs().amin((0, 2)).min() > 0


def test_the_bidirectional_backbone_has_no_order():
    made, x = network(causal=False), cells()
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    torch.testing.assert_close(made(x[:, order]), made(x)[:, order])
    changed = x.clone()
    changed[:, 6] += 1
    assert (made(changed)[:, 0] - made(x)[:, 0]).abs().max() > 0


def test_sets_do_not_see_one_another():
    made, x = network(), cells(sets=3)
    torch.testing.assert_close(made(x)[1:2], made(x[1:2]))


def test_gated_silu_and_its_gradient():
    gate, up = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.silu(gate) * up
    torch.testing.assert_close(_GatedSilu.apply(gate, up), expected)
    torch.autograd.gradcheck(_GatedSilu.apply, (gate, up))


def test_rotation_turns_planes_and_its_gradient_turns_back():
    S, A, D = 5, 2, 6
    cos, sin = rotary(S, D, torch.empty(0, dtype=torch.float64))
    qkv = torch.randn(2, S, 3, A, D, dtype=torch.float64, requires_grad=True)
    turned = torch.stack(_Heads.apply(qkv, cos, sin)).permute(1, 3, 0, 2, 4)
    assert torch.equal(turned[:, :, 2], qkv[:, :, 2])  # values stay
    start = qkv.detach()
    for plane in range(D // 2):
        angle = 10_000 ** (-2 * plane / D) * torch.arange(S, dtype=torch.float64)
        z = torch.complex(start[..., plane], start[..., plane + D // 2])[:, :, :2]
        z = z * torch.polar(torch.ones_like(angle), angle)[:, None, None]
        torch.testing.assert_close(turned[:, :, :2, :, plane], z.real)
        torch.testing.assert_close(turned[:, :, :2, :, plane + D // 2], z.imag)
    torch.autograd.gradcheck(lambda x: _Heads.apply(x, cos, sin), qkv)
    torch.autograd.gradcheck(lambda x: _Heads.apply(x, None, None), qkv)


@pytest.mark.parametrize("causal", [True, False])
def test_short_attention_is_torchs_own(causal, monkeypatch):
    q, k, v = torch.randn(3, 2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(_Attention.apply(q, k, v, causal), expected)
    torch.autograd.gradcheck(lambda *x: _Attention.apply(*x, causal), (q, k, v))
    qkv = torch.randn(2, 5, 3 * 3 * 4, dtype=torch.float64)
    positions = rotary(5, 4, qkv) if causal else None
    short = attend(qkv, 3, positions)
    monkeypatch.setattr(attention, "SHORT", 4)
    torch.testing.assert_close(attend(qkv, 3, positions), short)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("sizes", [(3, 7), (7, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_torchs_own(sizes, bias, frozen):
    made = linear.Linear(*sizes, bias=bias).requires_grad_(not frozen)
    theirs = torch.nn.Linear(*sizes, bias=bias).requires_grad_(not frozen)
    theirs.load_state_dict(made.state_dict())
    x = torch.randn(2, 5, sizes[0], requires_grad=True)
    y = x.detach().clone().requires_grad_()
    torch.testing.assert_close(made(x), theirs(y))
    made(x).square().sum().backward()
    theirs(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    for ours, other in zip(made.parameters(), theirs.parameters(), strict=True):
        assert (ours.grad is None) == frozen
        if not frozen:
            torch.testing.assert_close(ours.grad, other.grad)
    torch.autograd.gradcheck(made.double(), x.detach().double().requires_grad_())


def test_weights_start_small():
    torch.manual_seed(0)
    made = Backbone(hidden=64, layers=1, heads=4, head_size=16, feed_forward=256)
    assert made.blocks[0].gate_up.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert torch.equal(made.norm.weight, torch.ones(64))
