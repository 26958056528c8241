"""A copy of the project with a tiny simulated data set, and `snakemake` on it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

TINY = {
    "simulated": True,
    "simulate": {
        "seed": 1,
        "lines": ["k562", "rpe1", "hepg2"],
        "n_perturbations": 20,
        "n_genes": 80,
        "cells_per_pair": 20,
        "controls_per_line": 40,
        "batches": 2,
        "text_signal": 0.8,
        "context_signal": 0.5,
        "systematic_shift": 0.5,
        "gene_text": "resources/gene_text.tsv.gz",
    },
    "columns": {"perturbation": "perturbation", "cell_line": "cell_line", "batch": "batch"},
    "control": "control",
    "scale": "counts",
    "splits": {
        "hepg2": {
            "protocol": "unseen_combination",
            "target": "hepg2",
            "fractions": {"val": 0.15, "test": 0.4},
            "seed": 1,
        }
    },
    "settings": {
        "arms": ["control", "perturbation_mean", "line_mean", "response_expert", "state", "ptrag"],
        "seeds": [1],
        "cells": {"n_genes": 60, "min_cells": 5},
        "model": {
            "hidden": 16,
            "layers": 1,
            "heads": 2,
            "head_size": 8,
            "feed_forward": 32,
            "frozen_backbone": False,
        },
        "training": {"sets": 4, "set_size": 8, "max_steps": 40, "validate_every": 10},
        "prediction": {"cells_per_pair": 16},
        "evaluation": {"n_pcs": 10, "bootstrap": 200},
    },
}


class Project:
    """A folder with the code of the project and a configuration of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def clone(cls, root: Path, folder: Path) -> "Project":
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        folders = ("workflow", "src", "profiles", "resources", "envs")
        for name in ("Snakefile", "config.yaml", *folders):
            source = root / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignore)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / name)
        (folder / "results").mkdir()
        project = cls(folder)
        project.configure(lambda config: config.update(dataset="tiny", datasets={"tiny": TINY}))
        return project

    def configure(self, change) -> None:
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def forget(self, run: str) -> Path:
        """Remove a run and what ends the chain, so that the next `snakemake` makes both again."""
        home = self.folder / "results/tiny"
        shutil.rmtree(home / run)
        (home / "comparison.tsv").unlink()
        return home / run

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"}

    def start(self, *arguments: str, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(
            ["snakemake", *arguments],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **kwargs,
        )

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=600)
        assert (process.returncode == 0) == ok, said[-6000:]
        return said

    def planned(self, *arguments: str) -> set[str]:
        """Rules that `snakemake -n` would run."""
        said = self.snakemake("-n", *arguments)
        return set(re.findall(r"^(\w+) +\d+\b", said, flags=re.M)) - {"total"}

    def tables(self) -> dict[str, bytes]:
        """Every table of the results, without logs, benchmarks and the seconds of trainings."""
        home = self.folder / "results"
        return {
            str(path.relative_to(home)): path.read_bytes()
            for path in sorted(home.rglob("*.tsv"))
            if "benchmarks" not in path.parts and path.name != "seconds.tsv"
        }
