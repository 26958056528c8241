"""bfloat16 autocast and torch.compile change rounding and nothing else."""

import numpy as np
import pytest
import torch

from ptrag.arms.neural.losses import energy_distance
from ptrag.arms.neural.networks import Batch, Shapes
from ptrag.arms.neural.refinement import GumbelRefinement
from ptrag.arms.registry import load_arm

MODEL = {
    "hidden": 16, "layers": 2, "heads": 2, "head_size": 8, "feed_forward": 32, "causal": True,
    "dropout": 0.0, "vector_noise": 0.0, "frozen_backbone": False,
}  # fmt: skip
B, S, G, E, U, K = 2, 6, 9, 5, 7, 3
SHAPES = Shapes(G, E, 2)


def network(arm):
    torch.manual_seed(0)
    made = load_arm(arm).build({}, MODEL, SHAPES)
    for name, parameter in made.named_parameters():
        torch.nn.init.normal_(parameter, mean="norm.weight" in name, std=0.3)
    return made


def batch(arm):
    rng = np.random.default_rng(1)
    k = K if "rag" in arm else 0
    return Batch(
        torch.from_numpy(rng.random((B, S, G), dtype=np.float32) * 3),
        torch.from_numpy(rng.integers(2, size=(B, S))),
        torch.from_numpy(rng.normal(size=(U, E)).astype(np.float32)),
        torch.tensor([4, 0]),
        torch.from_numpy(np.stack([rng.permutation(U)[:k] for _ in range(B)])).long(),
        torch.from_numpy(rng.logistic(size=(B, S, k)).astype(np.float32)) if k else None,
    )


def trained_on(made, inputs, autocast=False):
    """Loss, cells and gradients of one step; as Lightning has it, the forward alone autocast."""
    made.zero_grad()
    torch.manual_seed(3)
    observed = torch.rand(B, S, G)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        cells, gates = made(inputs)
        loss = energy_distance(cells, observed).mean() + (0 if gates is None else gates.mean())
    loss.backward()
    return loss.detach(), cells.detach().float(), [p.grad for p in made.parameters()]


def cosine(ours, oracle):
    a, b = (torch.cat([g.flatten().double() for g in grads]) for grads in (ours, oracle))
    return (a @ b / (a.norm() * b.norm())).item()


@pytest.mark.parametrize("arm", ["state", "vanilla_rag", "ptrag_residual"])
def test_a_bf16_step_is_the_fp32_step_to_rounding(arm):
    made, inputs = network(arm).eval(), batch(arm)  # eval: no gate that may tip over
    loss, cells, grads = trained_on(made, inputs)
    loss16, cells16, grads16 = trained_on(made, inputs, autocast=True)
    assert all(g.dtype == torch.float32 for g in grads16)
    assert loss16.dtype == torch.float32
    assert loss16.item() == pytest.approx(loss.item(), rel=0.02)
    assert (cells16 - cells).abs().max() < 0.05 * cells.abs().max()
    assert (cells16 - cells).abs().max() > 0  # it was autocast
    assert cosine(grads16, grads) > 0.99


@pytest.mark.parametrize("published", [True, False])
def test_gates_and_distances_are_full_precision_under_autocast(published):
    torch.manual_seed(0)
    form = GumbelRefinement(8, 0.1, published).train()
    leaves = torch.randn(2, 5, 8), torch.randn(2, 8), torch.randn(2, 3, 8)
    noise = torch.randn(2, 5, 3)
    torch.manual_seed(1)
    plain = form(*leaves, noise)
    x, y = torch.rand(2, 4, 6), torch.rand(2, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(1)
        cast = form(*leaves, noise)
        energy = energy_distance(x, y)
    assert torch.equal(cast.gates, plain.gates)
    assert torch.equal(cast.z, plain.z)
    assert torch.equal(energy, energy_distance(x, y))


def test_a_compiled_step_is_the_same_step():
    """By the compiler's front end and its tracing of gradients; code is not generated."""
    torch._dynamo.reset()
    made, inputs = network("ptrag").train(), batch("ptrag")
    loss, cells, grads = trained_on(made, inputs)
    made.compile(backend="aot_eager")
    compiled_loss, compiled_cells, compiled_grads = trained_on(made, inputs)
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] > 20
    torch.testing.assert_close(compiled_loss, loss)
    torch.testing.assert_close(compiled_cells, cells)
    torch.testing.assert_close(compiled_grads, grads, rtol=1e-4, atol=1e-5)
