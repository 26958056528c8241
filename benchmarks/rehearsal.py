"""Rehearse the whole workflow on a made file of the paper's layout: ``make rehearsal``.

The file has the paper's size unless flags say otherwise; ``--tenth`` is a tenth of its cells and
perturbations. Closed forms, one short training, prediction, scoring and the report run through
the rules as they are; from what their logs say comes a table: rule, CPU seconds, own memory, and
the memory that ``resources:`` asks for. Everything stays in ``--folder``: a second call goes on.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from child import ROOT
from reference_file import LINES, Size, make_reference_file

from ptrag.base.files import read_json

NAME = "rehearsal"
ARMS = (
    "control", "perturbation_mean", "line_mean", "additive", "ridge", "knn", "split_half",
    "response_expert", "response_expert@shuffled", "ptrag", "response_rag",
)  # fmt: skip
PAPER = {"hidden": 128, "layers": 8, "heads": 12, "head_size": 58, "feed_forward": 2784}
TENTH = Size(64_343, 2000, 200)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return sizes and what to run."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--folder", type=Path, default=Path("rehearsal"), help="where everything goes")
    for key, value in Size()._asdict().items():
        add(f"--{key}", type=int, default=value)
    add("--tenth", action="store_true", help="a tenth of the paper's cells and perturbations")
    add("--targets", type=int, default=len(LINES), help="lines with held-out perturbations: splits")
    add("--arms", nargs="+", default=list(ARMS))
    add("--steps", type=int, default=10, help="of each training")
    add("--sets", type=int, default=16, help="of 64 cells in a training step")
    add("--small-network", action="store_true", help="not the paper's network, but a tiny one")
    add("--cores", type=int, default=os.cpu_count())
    add("--until", nargs="+", default=[], metavar="RULE", help="end there; a later call goes on")
    return parser.parse_args(given)


def main(given: argparse.Namespace) -> str:
    """Make the file, run the workflow on it and return the table."""
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    size = TENTH if given.tenth else Size(given.cells, given.genes, given.perturbations)
    source = folder / "replogle.h5ad"
    if not source.exists():
        part = source.with_suffix(".part")
        make_reference_file(part, folder / "vectors.tsv.gz", size)
        part.rename(source)
    config = folder / "rehearsal.yaml"
    config.write_text(yaml.safe_dump(configuration(given, folder), sort_keys=False))
    command = [
        "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile",
        str(ROOT / "profiles/default"), "--directory", str(folder), "--configfile", str(config),
        "--cores", str(given.cores), "--quiet", "rules",
    ]  # fmt: skip
    if given.until:
        subprocess.run([*command, "--until", *given.until], check=True)
        return f"Done until {', '.join(given.until)}; the same command without --until ends it.\n"
    subprocess.run(command, check=True)
    text = table(read_json(folder / f"results/{NAME}/manifest.json"))
    (folder / "table.md").write_text(text)
    return text


def configuration(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the data set's entry: the paper's, but for what a rehearsal shortens."""
    network = {"hidden": 16, "layers": 1, "heads": 2, "head_size": 8, "feed_forward": 32}
    set_size = 16 if given.small_network else 64
    return {
        "dataset": NAME,
        "data_dir": str(folder),
        "embeddings": {"table": {"path": str(folder / "vectors.tsv.gz")}},
        "datasets": {NAME: {
            "file": "replogle.h5ad", "simulated": True, "control": "non-targeting",
            "columns": {"perturbation": "gene", "cell_line": "cell_line", "batch": "gem_group"},
            "scale": "log1p", "matrix": "obsm/X_hvg",
            "splits": {
                line: {"protocol": "unseen_combination", "target": line, "seed": 1,
                       "fractions": {"val": 0.05, "test": 0.17}}
                for line in LINES[: given.targets]
            },
            "settings": {
                "arms": given.arms, "seeds": [1], "embedding": "table",
                "cells": {"genes": "given", "min_cells": 5, "min_controls": 10}, "model": network
                if given.small_network else PAPER,
                "training": {"sets": given.sets, "set_size": set_size, "max_steps": given.steps,
                             "validate_every": given.steps, "learning_rate": 0.001,
                             "match_batch": True},
                "prediction": {"cells_per_pair": 2 * set_size},
            },
        }},
    }  # fmt: skip


def table(manifest: dict[str, Any]) -> str:
    """Return what rules used at most, beside what they ask for, as Markdown.

    Parameters
    ----------
    manifest
        Content of ``manifest.json``.
    """
    asked = manifest["settings"]["resources"]
    lines = [
        "| rule | jobs | CPU s, the longest | CPU s, all | own memory, MB | asked, MB |",
        "|---|---|---|---|---|---|",
    ]
    for rule, jobs in manifest["jobs"].items():
        used = [job for job in jobs.values() if job["own_mb"] is not None]
        if not used:
            continue
        seconds = [job["cpu_seconds"] for job in used]
        memory = (asked["default"] | asked.get(rule, {}))["mem_mb"]
        lines.append(
            f"| `{rule}` | {len(used)} | {max(seconds):,.0f} | {sum(seconds):,.0f} "
            f"| {max(job['own_mb'] for job in used):,.0f} | {memory:,} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(main(arguments()))
