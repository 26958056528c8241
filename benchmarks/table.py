"""Results as a markdown table: what, direct form, ours, ratio, goal."""

import statistics
from collections.abc import Iterator
from typing import Any

GOALS = {16: (0.55, 0.9), 64: (2.8, 2.2)}  # seconds and GB of a step at the paper's sizes


def table(record: dict[str, Any]) -> str:
    """Return the table of a record, with the machine above it."""
    facts, results, sizes = record["machine"], record["results"], record["sizes"]
    torch, units = facts["torch"], ", bf16 units" if facts["bf16_units"] else ""
    lines = [
        f"{facts.get('gpu', facts['processor'])}, {facts['cores']} cores "
        f"({facts['instructions']}{units}), {facts['memory_gib']} GiB, torch {torch}, "
        f"{sizes['threads']} threads, float32; H = {sizes['hidden']}, {sizes['layers']} layers, "
        f"G = {sizes['genes']}, K = {sizes['candidates']}. Medians; both sides of a ratio took "
        "turns in one run. In brackets: CPU seconds of all threads, and their ratio, which what "
        f"else the machine does disturbs less (load at the start: {facts['load_before']}).",
        "",
        "| | direct form | ptrag | ratio | goal |",
        "|---|---|---|---|---|",
    ]
    rows = [*_training(results), *_prediction(results), *_preprocessing(results), *_start(results)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _seconds(result: dict[str, Any]) -> float:
    return statistics.median(result["seconds"])


def _cpu(result: dict[str, Any]) -> float:
    return statistics.median(result["cpu_seconds"])


def _both(result: dict[str, Any]) -> str:
    return f"{_seconds(result):.2f} s ({_cpu(result):.2f} s)"


def _times(slow: dict[str, Any], fast: dict[str, Any]) -> str:
    return f"{_seconds(slow) / _seconds(fast):.2f}× ({_cpu(slow) / _cpu(fast):.2f}×)"


def _training(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for size in [name.split(", ")[1] for name in results if name.startswith("ptrag, ")]:
        part = {n.split(", ")[0]: r for n, r in results.items() if n.endswith(f", {size}")}
        ours, direct, plain = part["ptrag"], part["direct"], part["no retrieval"]
        floor, back = part["matrix products"], part["freed memory handed back"]
        seconds, memory = GOALS.get(int(size.split("x")[0]), (None, None))
        name = f"train step {size.replace('x', '×')}"
        goal = f"≤ {seconds} s, " if seconds else ""
        yield name, _both(direct), _both(ours), _times(direct, ours), goal + "≥ 3×"
        goal = f"≤ {memory} GB, " if memory else ""
        yield (
            f"{name}: peak memory", f"{direct['peak_mib'] / 1024:.2f} GiB",
            f"{ours['peak_mib'] / 1024:.2f} GiB", f"{ours['peak_mib'] / direct['peak_mib']:.2f}",
            goal + "≤ 0.5",
        )  # fmt: skip
        yield (
            f"{name}: share of data loading", *(
                f"{form['loading'] / statistics.mean(form['seconds']):.1%}"
                for form in (direct, ours)
            ), "", "≤ 2 %",
        )  # fmt: skip
        yield f"{name}: without retrieval", "", _both(plain), _times(ours, plain), "≤ 1.05×"
        if bf16 := part.get("bf16"):
            yield f"{name}: bf16 autocast", "", _both(bf16), _times(direct, bf16), ""
        yield f"{name}: the backbone's matrix products", "", _both(floor), _times(ours, floor), ""
        faults = [f"{_both(form)}, {form['page_faults']:,.0f} page faults" for form in (back, ours)]
        yield f"{name}: freed memory handed back, kept", *faults, _times(back, ours), ""


def _prediction(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    if "predict ours" not in results:
        return
    direct, ours = results["predict direct"], results["predict ours"]
    rates = [
        f"{form['cells'] / _seconds(form):,.0f} cells/s ({form['cells'] / _cpu(form):,.0f})"
        for form in (direct, ours)
    ]
    yield (
        "prediction (a CPU second)", f"{rates[0]}, one set at a time", rates[1],
        _times(direct, ours), "≥ 6,000 cells/s",
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
