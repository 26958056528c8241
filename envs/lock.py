"""Write the locks from the packages installed here: `make lock`.

requirements.txt pins the closure of requirements.in, requirements-dev.txt what
requirements-dev.in adds. torch stays out: its one pin is torch.txt.
"""

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent


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


run = closure(tops("requirements.in"))
write("requirements.txt", run, "requirements.in")
write("requirements-dev.txt", closure(tops("requirements-dev.in")) - run, "requirements-dev.in")
