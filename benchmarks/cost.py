"""What a training step costs by arithmetic and bytes, beside what was measured.

``python benchmarks/cost.py benchmarks/results/NAME.json`` prints the table of
docs/scaling.md. Per cell, with a frozen backbone: S cells of a set, G genes, H hidden,
W heads × head size, F feed-forward, L layers, K candidates.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

W, F = 12 * 58, 2784


def products(S: int, G: int, H: int, L: int, K: int) -> dict[str, float]:
    """Return multiply-adds of one cell in a step, forward and backward."""
    return {
        "backbone's matrix products": 2 * L * (4 * H * W + 3 * H * F),
        "attention": 3.5 * 2 * L * S * W,  # 2 products forward, 5 backward
        "encoder and head": 4 * G * H,
        "retrieval": 3 * (2 * H * H + 3 * K * H),
        "energy distance": 5 * S * G,
    }


def direct_retrieval(H: int, K: int) -> float:
    """Return multiply-adds of the refinement in direct form."""
    return 3 * K * (2 * 3 * H * H + 2 * H)


def kept_bytes(G: int, H: int, L: int, K: int) -> float:
    """Return bytes that one cell keeps from forward to backward.

    A layer keeps [gate | up], queries, keys and values and two states of the residual stream; the
    rest keeps cells (control, observed, predicted, centred) and the dropout mask of the scorer.
    """
    return 4 * (L * (2 * F + 3 * W + 2 * H) + 6 * G + 12 * K) + K * H


def main(path: Path) -> None:
    """Print the model beside the measurements of a record."""
    record = json.loads(path.read_text())
    results = record["results"]
    print("| step | G multiply-adds | CPU s | G/s | backbone alone, G/s | kept | peak, measured |")
    print("|---|---|---|---|---|---|---|")
    for name, result in results.items():
        if not name.startswith("ptrag, "):
            continue
        size = name.split(", ")[1]
        S, G, H, L, K = (
            record["sizes"][key] for key in ("set_size", "genes", "hidden", "layers", "candidates")
        )
        cells = int(size.split("x")[0]) * S
        giga = cells * sum(products(S, G, H, L, K).values()) / 1e9
        floor = results[f"matrix products, {size}"]
        alone = floor["flop"] / 2e9 / cpu(floor)
        kept = cells * kept_bytes(G, H, L, K) / 2**20
        print(
            f"| {size.replace('x', '×')} | {giga:.1f} | {cpu(result):.2f} | "
            f"{giga / cpu(result):.0f} | {alone:.0f} | {kept:.0f} MiB | "
            f"{result['peak_mib']:.0f} MiB |"
        )


def cpu(result: dict[str, Any]) -> float:
    """Return CPU seconds of a case."""
    return statistics.median(result["cpu_seconds"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
