"""Write the locks from the packages installed here: `make lock`.

requirements.txt pins the closure of requirements.in, requirements-dev.txt what
requirements-dev.in adds. torch stays out: its one pin is torch.txt. cpu.yaml and gpu.yaml are
the same pins for conda, written out because Snakemake copies an environment file away from
what it refers to.
"""

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
PYTHON = "3.11"
BUILDS = {"cpu": "https://download.pytorch.org/whl/cpu", "gpu": None}


def tops(name: str) -> list[Requirement]:
    """Return the requirements that a file names, without comments."""
    lines = (HERE / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def closure(requirements: list[Requirement]) -> set[str]:
    """Return the names of all that the requirements need, torch aside."""
    seen: set[tuple[str, str]] = set()
    todo = [(needed.name, extra) for needed in requirements for extra in ("", *needed.extras)]
    while todo:
        name, extra = todo.pop()
        key = (canonicalize_name(name), extra)
        if key in seen or key[0] == "torch":
            continue
        seen.add(key)
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo.extend((needed.name, e) for e in ("", *needed.extras))
    return {name for name, _ in seen}


def write(out: str, names: set[str], sources: str) -> None:
    """Write the lock of some installed packages."""
    pins = sorted(f"{distribution(n).metadata['Name']}=={distribution(n).version}" for n in names)
    head = f"# Made by `make lock` from {sources}; torch is pinned in torch.txt.\n"
    (HERE / out).write_text(head + "\n".join(sorted(pins, key=str.lower)) + "\n")


def conda(kind: str, index: str | None) -> str:
    """Return the conda file with the locked pins; ``index`` is where a torch build is found."""
    pins = [
        line
        for name in ("torch.txt", "requirements.txt")
        for line in (HERE / name).read_text().splitlines()
        if not line.startswith("#")
    ]
    lines = [f"--extra-index-url {index}", *pins] if index else pins
    return "\n".join(
        [
            "# Made by `make lock` from torch.txt and requirements.txt.",
            f"name: ptrag-{kind}",
            "channels: [conda-forge]",
            "dependencies:",
            f"  - python={PYTHON}",
            "  - pip",
            "  - pip:",
            *(f"      - {line}" for line in lines),
            "",
        ]
    )


def main() -> None:
    """Write every lock."""
    run = closure(tops("requirements.in"))
    write("requirements.txt", run, "requirements.in")
    write("requirements-dev.txt", closure(tops("requirements-dev.in")) - run, "requirements-dev.in")
    for kind, index in BUILDS.items():
        (HERE / f"{kind}.yaml").write_text(conda(kind, index))


if __name__ == "__main__":
    main()
