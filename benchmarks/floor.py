"""The matrix products of the frozen backbone alone: forward, and backward to its input."""

from typing import Any

import torch
from child import child, timed
from made import Sizes, network


def case(
    sets: int, sizes: list[int], repeats: int, threads: int, device: str = "cpu"
) -> dict[str, Any]:
    """Time each product of all layers once forward and once backward, on sets × S rows."""
    torch.set_num_threads(threads)
    at = Sizes(*sizes)
    made = network("state_genept", at, 1).backbone.to(device)
    weights = [p.detach() for name, p in made.named_parameters() if p.dim() == 2]
    rows = sets * at.set_size
    inputs = [torch.randn(rows, w.shape[1], device=device) for w in weights[:4]]
    grads = [torch.randn(rows, w.shape[0], device=device) for w in weights[:4]]
    outputs = [torch.empty_like(g) for g in grads]
    onto = [torch.empty_like(x) for x in inputs]

    def products() -> None:
        for i, weight in enumerate(weights):
            torch.mm(inputs[i % 4], weight.T, out=outputs[i % 4])
            torch.mm(grads[i % 4], weight, out=onto[i % 4])

    result = timed(products, repeats, device)
    return result | {"flop": 4 * rows * sum(w.numel() for w in weights)}


if __name__ == "__main__":
    child(case)
