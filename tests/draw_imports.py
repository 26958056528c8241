"""The imports between rooms as a Mermaid graph: ``python tests/draw_imports.py`` writes it.

docs/architecture.md holds the picture; a test compares it with the code.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from ptrag.provenance.code import SOURCE, imported_files  # noqa: E402

PAGE = ROOT / "docs/architecture.md"
LIBRARY = SOURCE / "ptrag"
START, END = "```mermaid\n", "```\n"


def room_of(path):
    """The room of a module; a module at the top is a room of its own."""
    parts = path.relative_to(LIBRARY).parts
    return parts[0] if len(parts) > 1 else path.stem


def imports(path):
    """Files of the library that one file imports, without the __init__ of packages on the way."""
    return [
        other for other in imported_files(path, SOURCE)
        if other.name != "__init__.py" and other != path
    ]  # fmt: skip


def edges():
    """Pairs (room, imported room), without what lies on every way: base."""
    pairs = {
        (room_of(path), room_of(other)) for path in LIBRARY.rglob("*.py") for other in imports(path)
    }
    return sorted(
        (one, other) for one, other in pairs
        if one != other and other != "base" and not one.startswith("__")
    )  # fmt: skip


def reduced(pairs):
    """Without the edges that follow from longer ways."""
    after = {}
    for one, other in pairs:
        after.setdefault(one, set()).add(other)

    def reaches(start, goal):
        todo, seen = [start], set()
        while todo:
            room = todo.pop()
            if room == goal:
                return True
            if room not in seen:
                seen.add(room)
                todo += after.get(room, ())
        return False

    return [
        (one, other) for one, other in pairs
        if not any(reaches(via, other) for via in after[one] - {other})
    ]  # fmt: skip


def picture():
    """The graph; an arrow goes from a room to one that it imports."""
    lines = [f"    {one} --> {other}" for one, other in reduced(edges())]
    return START + "graph LR\n" + "\n".join(lines) + "\n" + END


if __name__ == "__main__":
    text = PAGE.read_text()
    begin = text.index(START)
    stop = text.index(END, begin + len(START)) + len(END)
    PAGE.write_text(text[:begin] + picture() + text[stop:])
