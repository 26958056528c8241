"""Which library modules a script imports, so that a rule can list them as inputs.

Snakemake watches a rule's script but not what the script imports. With the closure among
the inputs, an edited module reruns exactly the stages that import it.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path


@cache
def _imports(path: Path, root: Path) -> frozenset[Path]:
    """Return the files below ``root`` that one file imports, anywhere in it."""
    names = set()
    for node in _statements(ast.parse(path.read_text(), filename=str(path)).body):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            # `from package import module` names a file, `from module import name` does not
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    found = set()
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:end])
            found.update(p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file())
    return frozenset(found)


def _statements(block: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the statements of a block and of all blocks in it; expressions hold no import.

    What is imported for type checkers alone is no part of a run.
    """
    for node in block:
        yield node
        fields = ["body", "orelse", "finalbody", "handlers", "cases"]
        test = getattr(node, "test", None)
        if "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", "")):
            fields.remove("body")
        for field in fields:
            yield from _statements(getattr(node, field, []))


@cache
def _closure(entries: tuple[str, ...], root: str) -> tuple[str, ...]:
    seen: set[Path] = set()
    todo = [Path(entry) for entry in entries]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo.extend(_imports(path, Path(root)))
    return tuple(sorted(str(path) for path in seen))


def closure(entries: Iterable[str], root: str = "src") -> list[str]:
    """Return ``entries`` and every file below ``root`` they import, directly or not.

    Imports inside functions count. A package's ``__init__.py`` counts for each module in it.
    """
    return list(_closure(tuple(entries), root))
