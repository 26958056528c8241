"""The network of all neural arms: encoders, what retrieval adds, backbone, output head.

Symbols as in docs/concepts/arms.md. Axes: B sets, S cells, G genes, E features of a perturbation,
U distinct perturbations of a batch, K candidates, H hidden.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptrag.arms.neural.backbone import INITIAL_STD, Backbone
from ptrag.arms.neural.linear import Linear

SETS = 32  #: that go through the network at once when it predicts

#: What is decoded: cells as published, factors of the control cells, or an addition to a base.
Head = Literal["cells", "factors", "gated"]


@dataclass(frozen=True)
class Shapes:
    """Sizes that come from the data.

    Attributes
    ----------
    n_genes
        G.
    n_features
        E: size of an embedding vector, or the number of one-hot perturbations.
    n_batches
        Technical batches; 1 where the data name none.
    """

    n_genes: int
    n_features: int
    n_batches: int


class Batch(NamedTuple):
    """What the network sees.

    Attributes
    ----------
    control
        (B, S, G) control cells.
    batch_codes
        (B, S) technical batch of each control cell.
    features
        (U, E): each distinct perturbation of the batch once.
    query
        (B,) each set's perturbation, as a row of ``features``.
    candidates
        (B, K) its candidates, as rows of ``features``; K = 0 without retrieval.
    noise
        (B, S, K) logistic noise of gates drawn at inference; None: drawn by torch.
    keep
        (B, K) bool, False leaves a candidate out; None keeps all.
    base
        (B, S, G) the control cells as an expert moves them, for networks that add to these.
    """

    control: Tensor
    batch_codes: Tensor
    features: Tensor
    query: Tensor
    candidates: Tensor
    noise: Tensor | None = None
    keep: Tensor | None = None
    base: Tensor | None = None


class Predicted(NamedTuple):
    """What the network says.

    Attributes
    ----------
    cells
        (B, S, G), at least 0.
    gates
        (B, S, K), or None without retrieval.
    """

    cells: Tensor
    gates: Tensor | None


class Network(nn.Module):
    """u = (h + g_p | z | h + g_p + z) + batch embedding;  y = W_o (T(u) + h) + b_o.

    Parameters
    ----------
    model
        Section ``model`` of the configuration.
    shapes
        Sizes from the data.
    refinement
        Stage two, which makes z of the candidates; None: no retrieval.
    residual
        Add z to h + g_p instead of replacing it.
    head
        What becomes of y, for a control cell x:

        ``cells``
            ŷ = ReLU(y), as published. All that a predicted cell has comes through H numbers, so
            that G > H genes cannot vary independently, as those of real cells do.
        ``factors``
            ŷ = x · log2(1 + e^y), gene by gene: the cell keeps its own noise and its zeros, and
            y = 0 leaves it as it is. A gene that a control cell lacks stays absent.
        ``gated``
            ŷ = ReLU(base + γ y) with one gate γ, 0 at the start, so that the untrained network
            predicts the base itself.
    """

    def __init__(
        self,
        model: dict[str, Any],
        shapes: Shapes,
        refinement: nn.Module | None = None,
        residual: bool = False,
        head: Head = "cells",
    ) -> None:
        super().__init__()
        hidden = model["hidden"]
        self.residual, self.head = residual, head
        self.vector_noise = model["vector_noise"]
        self.encode_cell = Linear(shapes.n_genes, hidden)  # W_x
        self.encode_perturbation = Linear(shapes.n_features, hidden)  # W_e
        self.batch_embedding = nn.Embedding(shapes.n_batches, hidden)
        nn.init.normal_(self.batch_embedding.weight, std=INITIAL_STD)
        self.refinement = refinement
        self.backbone = Backbone(
            hidden, model["layers"], model["heads"], model["head_size"], model["feed_forward"],
            model["causal"],
        )  # fmt: skip
        self.decode = Linear(hidden, shapes.n_genes)  # W_o
        self.gate = nn.Parameter(torch.zeros(())) if head == "gated" else None  # γ
        if model["frozen_backbone"]:
            self.backbone.requires_grad_(False)
            self.decode.requires_grad_(False)

    def start_at(self, profile: Tensor) -> None:
        """Set the output head to where training starts; a frozen one stays random, as published.

        Decoded cells start at a profile (G,), b_o, which saves the first hundreds of steps, that
        else find the mean cell. Factors start at 1: the untrained network predicts no change.
        """
        if not self.decode.bias.requires_grad:
            return
        with torch.no_grad():
            if self.head == "cells":
                self.decode.bias.copy_(profile)
            elif self.head == "factors":
                self.decode.weight.zero_()
                self.decode.bias.zero_()

    def forward(self, batch: Batch) -> Predicted:
        """Predict a perturbed cell from each control cell."""
        h, query, candidates = self._encode(batch)
        u, gates = h + query.unsqueeze(1), None
        if self.refinement is not None:
            z, gates = self.refinement(h, query, candidates, batch.noise, batch.keep)
            u = u + z if self.residual else z
        u = u + self.batch_embedding(batch.batch_codes)
        return Predicted(self._cells(self.backbone(u) + h, batch), gates)

    def _cells(self, mixed: Tensor, batch: Batch) -> Tensor:
        """Return the predicted cells of T(u) + h, (..., B, S, H) to (..., B, S, G)."""
        decoded = self.decode(mixed)
        if self.head == "factors":
            return batch.control * (F.softplus(decoded) / math.log(2))
        if self.head == "gated":
            decoded = batch.base + self.gate * decoded
        return torch.relu(decoded)

    def without_each(self, batch: Batch, sets: int, size: int) -> Iterator[Tensor]:
        """Yield some cells without one candidate after the other, (sets, size, G) each.

        The same noise, and nothing else changed. What does not depend on the candidate is done
        once, and as many are predicted at a time as make :data:`SETS` sets.

        Parameters
        ----------
        batch
            What was predicted. Gates are worked out on all of it, as they were.
        sets, size
            Its first sets, and the first cells of each. With a causal backbone these cells are the
            same as among all cells of their set; else ``size`` must be S.
        """
        h, query, candidates = self._encode(batch)
        refined = self.refinement(h, query, candidates, batch.noise)
        control, codes, base, h, z, gates = (
            x if x is None else x[:sets, :size]
            for x in (batch.control, batch.batch_codes, batch.base, h, *refined)
        )
        batch = batch._replace(control=control, batch_codes=codes, base=base)
        query, candidates, refined = query[:sets], candidates[:sets], refined._make((z, gates))
        z = self.refinement.without_each(h, query, candidates, refined)  # (K, sets, size, H)
        added = self.batch_embedding(codes)
        if self.residual:
            added = added + h + query.unsqueeze(1)
        for some in (z + added).split(max(1, SETS // sets)):
            mixed = self.backbone(some.flatten(0, 1)).view_as(some)
            yield from self._cells(mixed + h, batch)

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return h (B, S, H), g of the queries (B, H) and of their candidates (B, K, H)."""
        features = batch.features
        if self.training and self.vector_noise:
            features = _blurred(features, self.vector_noise)
        g = self.encode_perturbation(features)  # (U, H)
        # a lookup by F.embedding has a gradient that adds in a fixed order; indexing has not
        query, candidates = F.embedding(batch.query, g), F.embedding(batch.candidates, g)
        return self.encode_cell(batch.control), query, candidates


def _blurred(vectors: Tensor, noise: float) -> Tensor:
    """Return (U, E) vectors with a normal displacement of about ``noise`` times their length.

    A network that sees the few hundred vectors of its training perturbations again and again
    learns each by heart; displaced ones make it answer alike for genes with like vectors.
    """
    lengths = vectors.norm(dim=1, keepdim=True)
    return vectors + noise / vectors.shape[1] ** 0.5 * lengths * torch.randn_like(vectors)
