"""The whole network (docs/concepts/arms.md) in NumPy and float64, written from its equations."""

import numpy as np
import pytest
import torch
from scipy.special import erf, expit

from ptrag.arms.neural.networks import Batch, Shapes
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError

MODEL = {
    "hidden": 8, "layers": 2, "heads": 3, "head_size": 4, "feed_forward": 10, "causal": True,
    "dropout": 0.1, "vector_noise": 0.0, "frozen_backbone": False,
}  # fmt: skip
B, S, G, E, U, K = 3, 5, 6, 4, 7, 3
ARMS = ["state", "state_genept", "state_genept_residual", "vanilla_rag", "vanilla_rag_residual",
        "ptrag", "ptrag_residual"]  # fmt: skip
FACTORS = ("state_genept_residual", "ptrag_residual")


def network(arm, **model):
    torch.manual_seed(0)
    made = load_arm(arm).build({}, MODEL | model, Shapes(G, E, 2)).double().eval()
    for name, parameter in made.named_parameters():
        torch.nn.init.normal_(parameter, mean="norm.weight" in name, std=0.4)
    return made


def batch(arm, seed=1):
    rng = np.random.default_rng(seed)
    k = K if "rag" in arm else 0
    noise = torch.from_numpy(rng.logistic(size=(B, S, k)))
    return Batch(
        torch.from_numpy(rng.random((B, S, G)) * 3),
        torch.from_numpy(rng.integers(2, size=(B, S))),
        torch.from_numpy(rng.normal(size=(U, E))),
        torch.tensor([4, 0, 4]),
        torch.from_numpy(np.stack([rng.permutation(U)[:k] for _ in range(B)])).long(),
        noise if arm == "ptrag" else None,
    )


# --- NumPy --------------------------------------------------------------------------------


def affine(W, name, x):
    return x @ W[f"{name}.weight"].T + W.get(f"{name}.bias", 0)


def softmax(a):
    a = np.exp(a - a.max(-1, keepdims=True))
    return a / a.sum(-1, keepdims=True)


def rms_norm(W, name, x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * W[f"{name}.weight"]


def turn(x):
    """Rotary positions of (S, D)."""
    D = x.shape[1]
    angle = np.arange(len(x))[:, None] * 10_000.0 ** (-2 * np.arange(D // 2) / D)
    left, right = x[:, : D // 2], x[:, D // 2 :]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.hstack([left * cos - right * sin, right * cos + left * sin])


def llama(W, u):
    """T(u) of one set, (S, H)."""
    heads, D = MODEL["heads"], MODEL["head_size"]
    for i in range(MODEL["layers"]):
        name = f"backbone.blocks.{i}"
        q, k, v = np.split(
            affine(W, f"{name}.query_key_value", rms_norm(W, f"{name}.attention_norm", u)), 3, -1
        )
        mixed = []
        for head in range(heads):
            part = slice(head * D, (head + 1) * D)
            scores = turn(q[:, part]) @ turn(k[:, part]).T / np.sqrt(D)
            scores[np.triu_indices(len(u), 1)] = -np.inf
            mixed.append(softmax(scores) @ v[:, part])
        u = u + affine(W, f"{name}.attention_out", np.hstack(mixed))
        gate, up = np.split(
            affine(W, f"{name}.gate_up", rms_norm(W, f"{name}.feed_norm", u)), 2, -1
        )
        u = u + affine(W, f"{name}.down", gate * expit(gate) * up)
    return rms_norm(W, "backbone.norm", u)


def gumbel_gates(W, c, published, noise):
    """Gates of one batch, (B, S, K), from c (B, S, K, 3H)."""
    hidden = affine(W, "refinement.score_in", c)
    a = affine(W, "refinement.score_out", hidden * 0.5 * (1 + erf(hidden / np.sqrt(2))))
    if published:
        a = a / a.std(ddof=1)
        return ((a[..., 0] - a[..., 1] + noise) > 0).astype(float)
    own = a.reshape(B, S, -1).std(-1, ddof=1)[..., None, None]
    return softmax(a / own)[..., 0]


def numpy_forward(W, arm, batch):
    x, codes, features, query, candidates = (np.asarray(part) for part in batch[:5])
    h = affine(W, "encode_cell", x)
    g = affine(W, "encode_perturbation", features)
    g_p, g_k = g[query], g[candidates]
    z, gates, H = 0, None, h.shape[-1]
    if arm.startswith("ptrag"):
        c = np.concatenate(
            [
                np.broadcast_to(part, (B, S, K, H))
                for part in (h[:, :, None], g_p[:, None, None], g_k[:, None])
            ],
            -1,
        )
        c = (c - c.mean(-1, keepdims=True)) / np.sqrt(c.var(-1, keepdims=True) + 1e-5)
        c = c * W["refinement.norm.weight"] + W["refinement.norm.bias"]
        noise = None if batch.noise is None else np.asarray(batch.noise)
        gates = gumbel_gates(W, c, arm == "ptrag", noise)
        z = (gates[..., None] * affine(W, "refinement.fuse", c)).sum(2)
    elif arm.startswith("vanilla"):
        q = affine(W, "refinement.query", h + g_p[:, None])
        k, v = affine(W, "refinement.key", g_k), affine(W, "refinement.value", g_k)
        gates = softmax(np.einsum("bsh,bkh->bsk", q, k) / np.sqrt(H))
        z = np.einsum("bsk,bkh->bsh", gates, v)
    u = z if arm in ("ptrag", "vanilla_rag") else h + g_p[:, None] + z
    u = u + W["batch_embedding.weight"][codes]
    T = np.stack([llama(W, one) for one in u])
    y = affine(W, "decode", T + h)
    return x * np.log2(1 + np.exp(y)) if arm in FACTORS else np.maximum(y, 0), gates


@pytest.mark.parametrize("arm", ARMS)
def test_network_is_the_design_in_numpy(arm):
    made, inputs = network(arm), batch(arm)
    W = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    cells, gates = numpy_forward(W, arm, inputs)
    predicted = made(inputs)
    np.testing.assert_allclose(predicted.cells.detach(), cells, rtol=1e-9, atol=1e-9)
    if gates is None:
        assert predicted.gates is None
    else:
        np.testing.assert_allclose(predicted.gates.detach(), gates, rtol=1e-9, atol=1e-9)
    assert (cells > 0).any()
    assert (cells == 0).any() == (arm not in FACTORS)  # no gene of these controls is absent


def test_a_frozen_backbone_and_head_get_no_gradient_and_the_rest_does():
    made = network("ptrag", frozen_backbone=True).train()
    made(batch("ptrag")).cells.sum().backward()
    for name, parameter in made.named_parameters():
        frozen = name.startswith(("backbone.", "decode."))
        assert parameter.requires_grad != frozen, name
        assert (parameter.grad is None) == frozen, name


def test_a_predicted_set_of_ptrag_residual_depends_on_nothing_but_itself():
    made, inputs = network("ptrag_residual"), batch("ptrag_residual")
    torch.manual_seed(5)
    whole = made(inputs).cells
    torch.manual_seed(6)
    order = torch.tensor([2, 0, 1])
    turned = made(
        inputs._replace(
            control=inputs.control[order],
            batch_codes=inputs.batch_codes[order],
            query=inputs.query[order],
            candidates=inputs.candidates[order],
        )
    ).cells
    torch.testing.assert_close(turned, whole[order], rtol=1e-10, atol=1e-12)
    alone = made(
        Batch(
            inputs.control[:1],
            inputs.batch_codes[:1],
            inputs.features,
            inputs.query[:1],
            inputs.candidates[:1],
        )
    ).cells
    torch.testing.assert_close(alone, whole[:1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("arm", "option", "value"),
    [
        ("ptrag", "published", False),
        ("ptrag_residual", "published", True),
        ("ptrag", "rag", False),
        ("state", "use_genept", True),
        ("state_genept", "use_genept", False),
        ("vanilla_rag", "differentiable_rag", True),
        ("vanilla_rag_residual", "gumbel_sparsity_loss", True),
    ],
)
def test_options_that_contradict_an_arm_are_errors(arm, option, value):
    with pytest.raises(PtragError, match=rf"arm_options\.{arm}\.{option}"):
        load_arm(arm).build({option: value}, MODEL, Shapes(G, E, 1))


def test_vector_noise_displaces_in_training_alone_by_its_share_of_the_length():
    """The length of a displacement in many dimensions is nearly certain (law of large numbers)."""
    wide = 4000
    made = load_arm("state_genept").build({}, MODEL | {"vector_noise": 0.7}, Shapes(G, wide, 2))
    seen = []
    made.encode_perturbation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    vectors = torch.randn(U, wide) * torch.arange(1.0, U + 1).unsqueeze(1)
    inputs = batch("state_genept")._replace(features=vectors)
    inputs = Batch(*(x.float() if torch.is_tensor(x) and x.is_floating_point() else x
                     for x in inputs))  # fmt: skip
    made.train()(inputs)
    made.train()(inputs)
    made.eval()(inputs)
    first, second, evaluated = seen
    lengths = (first - vectors).norm(dim=1) / vectors.norm(dim=1)
    np.testing.assert_allclose(lengths, 0.7, rtol=0.1)
    assert not torch.equal(first, second)
    assert torch.equal(evaluated, vectors)
