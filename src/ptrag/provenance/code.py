"""One digest of the code that a stage runs: what decides whether it has to run again.

Snakemake watches a rule's script but not what the script imports. The digest of the script and
of every module it imports, directly or not, is a parameter of the rule: it changes exactly when
code that the stage runs does. It is taken of the syntax tree without docstrings, so that a
comment, a docstring or a change of layout reruns nothing. Checkpoints of a training carry the
same digest.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2]
"""The folder of the rule scripts and of the library."""


def code_digest(entries: Iterable[str | Path], root: str | Path = SOURCE) -> str:
    """Return the SHA-256 of the code of ``entries`` and of all they import below ``root``.

    Parameters
    ----------
    entries
        Python files, absolute or relative to ``root``.
    root
        The folder that imports start from.
    """
    root = Path(root)
    parts = [f"{path.relative_to(root)} {_tree_digest(path)}" for path in closure(entries, root)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def closure(entries: Iterable[str | Path], root: str | Path = SOURCE) -> list[Path]:
    """Return ``entries`` and every file below ``root`` they import, directly or not, sorted.

    Imports inside functions count. A package's ``__init__.py`` counts for each module in it.
    What is imported for type checkers alone is no part of a run.
    """
    root = Path(root)
    seen: set[Path] = set()
    todo = [root / entry for entry in entries]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo.extend(imported_files(path, root))
    return sorted(seen)


@cache
def imported_files(path: Path, root: Path = SOURCE) -> frozenset[Path]:
    """Return the files below ``root`` that one file imports, anywhere in it."""
    names = set()
    for node in _statements(ast.parse(path.read_text(), filename=str(path)).body):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            # `from package import module` names a file, `from module import name` does not
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files = set()
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:end])
            files.update(p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file())
    return frozenset(files)


def _statements(block: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the statements of a block and of all blocks in it; expressions hold no import."""
    for node in block:
        yield node
        fields = ["body", "orelse", "finalbody", "handlers", "cases"]
        test = getattr(node, "test", None)
        if "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", "")):
            fields.remove("body")
        for field in fields:
            yield from _statements(getattr(node, field, []))


@cache
def _tree_digest(path: Path) -> str:
    """Return the SHA-256 of a file's syntax tree without docstrings and positions."""
    tree = ast.parse(path.read_text(), filename=str(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_bare_text(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_bare_text(statement: ast.AST) -> bool:
    """Whether a statement is a text alone: a docstring, of whatever it stands under."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
