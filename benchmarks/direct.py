"""The direct form, which stands in for the reference: everything as its equation stands.

Transformers' Llama; query and candidates encoded for each cell; every S × K × 3H tensor;
distances with autograd through each of their steps; cells read one by one.
Same weights, same numbers as the package's network: ``tests/unit/test_benchmarks.py``.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from child import ROOT
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from ptrag.arms.neural import attention, backbone
from ptrag.arms.neural.networks import Batch, Network, Predicted
from ptrag.arms.neural.refinement import GumbelRefinement
from ptrag.cells.store import CellStore
from ptrag.training.data import Step

sys.path.append(str(ROOT / "tests"))
from direct_form import DirectRefinement


class Dense(DirectRefinement):
    """The tests' oracle, on what each cell has encoded for itself, with torch's dropout."""

    def join(self, h: Tensor, query: Tensor, candidates: Tensor) -> Tensor:
        """Join (B, S, H), (B, S, H) and (B, S, K, H)."""
        parts = [part[:, :, None].expand_as(candidates) for part in (h, query)]
        return torch.cat([*parts, candidates], dim=-1)

    def drop(self, y: Tensor) -> Tensor:
        """Drop as torch does."""
        return F.dropout(y, self.dropout, self.training)


def dense(ours: GumbelRefinement) -> Dense:
    """Return the direct form of a refinement, with the same weights."""
    made = Dense(ours.fuse.out_features, ours.dropout, ours.published)
    made.load_state_dict(ours.state_dict())
    return made


def llama(ours: backbone.Backbone) -> LlamaModel:
    """Return transformers' Llama with the weights of a backbone, frozen as it is."""
    block = ours.blocks[0]
    config = LlamaConfig(
        vocab_size=1, hidden_size=block.heads, num_attention_heads=block.heads,
        num_key_value_heads=block.heads, head_dim=ours.head_size,
        intermediate_size=block.down.in_features, num_hidden_layers=len(ours.blocks),
        rms_norm_eps=backbone.EPSILON, rope_theta=attention.THETA,
    )  # fmt: skip
    config.hidden_size = block.down.out_features  # need not be a multiple of the heads
    made = LlamaModel(config)
    weights = {"norm.weight": ours.norm.weight}
    for i, block in enumerate(ours.blocks):
        q, k, v = block.query_key_value.weight.chunk(3)
        gate, up = block.gate_up.weight.chunk(2)
        parts = {
            "self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v,
            "self_attn.o_proj": block.attention_out.weight, "mlp.gate_proj": gate,
            "mlp.up_proj": up, "mlp.down_proj": block.down.weight,
            "input_layernorm": block.attention_norm.weight,
            "post_attention_layernorm": block.feed_norm.weight,
        }  # fmt: skip
        weights |= {f"layers.{i}.{name}.weight": weight for name, weight in parts.items()}
    made.load_state_dict(weights, strict=False)
    frozen = not next(ours.parameters()).requires_grad
    return made.requires_grad_(not frozen)


class DirectNetwork(nn.Module):
    """A network's equations without its shortcuts."""

    def __init__(self, ours: Network) -> None:
        super().__init__()
        self.encode_cell, self.encode_perturbation = ours.encode_cell, ours.encode_perturbation
        self.batch_embedding, self.decode = ours.batch_embedding, ours.decode
        self.refinement = dense(ours.refinement)
        self.residual, self.head = ours.residual, ours.head
        self.backbone = llama(ours.backbone)

    def forward(self, batch: Batch) -> Predicted:
        """Predict; as :meth:`ptrag.arms.neural.networks.Network.forward`."""
        h = self.encode_cell(batch.control)
        S = h.shape[1]
        of_query = batch.features[batch.query.unsqueeze(1).expand(-1, S)]  # (B, S, E)
        of_candidates = batch.features[batch.candidates.unsqueeze(1).expand(-1, S, -1)]
        query = self.encode_perturbation(of_query)
        candidates = self.encode_perturbation(of_candidates)  # (B, S, K, H)
        z, gates = self.refinement(h, query, candidates, batch.noise)
        u = h + query + z if self.residual else z
        u = u + self.batch_embedding(batch.batch_codes)
        hidden = self.backbone(inputs_embeds=u, use_cache=False).last_hidden_state
        decoded = self.decode(hidden + h)
        if self.head == "factors":
            return Predicted(batch.control * torch.log2(1 + decoded.exp()), gates)
        return Predicted(torch.relu(decoded), gates)


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Energy distance of each set, (B,), with autograd through every distance."""

    def mean_distance(a: Tensor, b: Tensor) -> Tensor:
        squares = a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None]
        squares = squares - 2 * a @ b.transpose(1, 2)
        return squares.clamp_min(1e-8).sqrt().mean((1, 2))

    return mean_distance(x, y) - 0.5 * mean_distance(x, x) - 0.5 * mean_distance(y, y)


def read(store: CellStore, rows: np.ndarray) -> Tensor:
    """Return cells (B, S, G), read one by one."""
    cells = [torch.from_numpy(np.array(store.X[row])) for row in rows.ravel()]
    return torch.stack(cells).view(*rows.shape, -1)


def load(store: CellStore, features: Tensor, step: Step) -> tuple[Batch, Tensor]:
    """Return the input and the observed cells of a training step."""
    codes = [int(store.batch_codes[row]) for row in step.control.ravel()]
    batch = Batch(
        read(store, step.control),
        torch.tensor(codes).view(*step.control.shape),
        features[step.distinct],
        torch.from_numpy(step.query),
        torch.from_numpy(step.candidates),
    )
    return batch, read(store, step.perturbed)
