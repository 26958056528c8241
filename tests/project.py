"""A copy of the project with a tiny simulated data set, and `snakemake` on it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

TINY = yaml.safe_load((Path(__file__).parents[1] / ".test/config.yaml").read_text())["datasets"][
    "tiny"
]


def _ctrl_c_as_in_a_terminal() -> None:
    """Undo what a shell does to background jobs: they ignore SIGINT, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Project:
    """A folder with the code of the project and a configuration of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def clone(cls, root: Path, folder: Path) -> "Project":
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        folders = ("workflow", "src", "profiles", "resources", "envs", ".test")
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
            preexec_fn=_ctrl_c_as_in_a_terminal,
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
