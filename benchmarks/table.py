"""Results as a markdown table: what, direct form, ours, ratio, goal."""

import statistics
from collections.abc import Iterator
from typing import Any

GOALS = {16: (0.55, 0.9), 64: (2.8, 2.2)}  # seconds and GB of a step at the paper's sizes


def table(record: dict[str, Any]) -> str:
    """Return the table of a record, with the machine above it."""
    facts, results, sizes = record["machine"], record["results"], record["sizes"]
    torch = facts["torch"]
    lines = [
        f"{facts.get('gpu', facts['processor'])}, {facts['cores']} cores "
        f"({facts['instructions']}), {facts['memory_gib']} GiB, torch {torch}, "
        f"{sizes['threads']} threads, float32; H = {sizes['hidden']}, {sizes['layers']} layers, "
        f"G = {sizes['genes']}, K = {sizes['candidates']}. Medians; both sides of a ratio took "
        "turns in one run.",
        "",
        "| | direct form | ptrag | ratio | goal |",
        "|---|---|---|---|---|",
    ]
    rows = [*_training(results), *_prediction(results), *_preprocessing(results), *_start(results)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _seconds(result: dict[str, Any]) -> float:
    return statistics.median(result["seconds"])


def _training(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for size in [name.split(", ")[1] for name in results if name.startswith("ptrag, ")]:
        part = {n.split(", ")[0]: r for n, r in results.items() if n.endswith(f", {size}")}
        ours, direct = part["ptrag"], part["direct"]
        mine, theirs, plain, floor, back = (
            _seconds(part[name])
            for name in (
                "ptrag", "direct", "no retrieval", "matrix products", "freed memory handed back",
            )
        )  # fmt: skip
        sets = int(size.split("x")[0])
        seconds, memory = GOALS.get(sets, (None, None))
        goal = f"≤ {seconds} s, " if seconds else ""
        name = f"train step {size.replace('x', '×')}"
        yield name, f"{theirs:.2f} s", f"{mine:.2f} s", f"{theirs / mine:.1f}×", goal + "≥ 2.5×"
        yield (
            f"{name}: peak memory", f"{direct['peak_mib'] / 1024:.2f} GiB",
            f"{ours['peak_mib'] / 1024:.2f} GiB", f"{ours['peak_mib'] / direct['peak_mib']:.2f}",
            (f"≤ {memory} GB, " if memory else "") + "≤ 0.5",
        )  # fmt: skip
        yield (
            f"{name}: share of data loading", f"{direct['loading'] / theirs:.1%}",
            f"{ours['loading'] / mine:.1%}", "", "≤ 2 %",
        )  # fmt: skip
        yield (
            f"{name}: beside no retrieval", "", f"{plain:.2f} s without", f"{mine / plain:.2f}×",
            "≤ 1.1×",
        )  # fmt: skip
        yield (
            f"{name}: beside the backbone's matrix products", "", f"{floor:.2f} s alone",
            f"{mine / floor:.2f}×", "",
        )  # fmt: skip
        faults = part["freed memory handed back"]["page_faults"], ours["page_faults"]
        yield (
            f"{name}: freed memory kept", f"{back:.2f} s, {faults[0]:,.0f} page faults",
            f"{mine:.2f} s, {faults[1]:,.0f}", f"{back / mine:.2f}×", "",
        )  # fmt: skip


def _prediction(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    if "predict ours" in results:
        rates = [
            results[name]["cells"] / _seconds(results[name])
            for name in ("predict direct", "predict ours")
        ]
        yield (
            "prediction", f"{rates[0]:,.0f} cells/s, one set at a time", f"{rates[1]:,.0f} cells/s",
            f"{rates[1] / rates[0]:.1f}×", "≥ 4,000 cells/s, ≥ 5×",
        )  # fmt: skip


def _preprocessing(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, result in results.items():
        if name.startswith("preprocess "):
            yield (
                f"preprocessing {result['cells']:,} × {result['genes']:,}", "",
                f"{result['mb_per_s']:.0f} MB/s written, peak {result['peak_mib'] / 1024:.2f} GiB",
                f"{result['mb_per_s'] / results['disk']['mb_per_s']:.2f} of the disk's "
                f"{results['disk']['mb_per_s']:.0f} MB/s",
                "≤ 2 GiB at any size",
            )  # fmt: skip


def _start(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for command in ("ptrag --help", "snakemake -n"):
        if command in results:
            yield f"start of `{command}`", "", f"{_seconds(results[command]):.1f} s", "", "≤ 3 s"
    if "imported" in results:
        heavy = ", ".join(results["imported"]["modules"]) or "none"
        yield "heavy modules that `import ptrag` loads", "", heavy, "", "none"
