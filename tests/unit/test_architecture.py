"""The house as docs/architecture.md draws it: what may import what, how long, how named."""

import ast
import re

import pytest
from draw_imports import LIBRARY, PAGE, imports, picture, room_of

FILES = sorted(LIBRARY.rglob("*.py"))
NAMELESS = {"its", "found", "said", "told", "made", "there", "what"}
LONGEST_MODULE, LONGEST_FUNCTION = 350, 60


def table():
    """{room: rooms it may import}, as the page has them."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(), flags=re.M)
    return {room: set(re.findall(r"`(\w+)`", may)) for room, may in rows}


def test_the_page_names_every_room():
    rooms = {room_of(path) for path in FILES} - {"__init__", "__main__"}
    assert set(table()) == rooms


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_room_imports_only_what_it_may(path):
    own = room_of(path)
    if own in ("__init__", "__main__"):
        return
    allowed = table()[own] | {own, "__init__"}
    strange = {str(other.relative_to(LIBRARY)) for other in imports(path)
               if room_of(other) not in allowed}  # fmt: skip
    assert not strange, f"{own} may import {sorted(allowed)}"


@pytest.mark.parametrize(
    ("place", "never"),
    [
        ("arms/expert", "arms/neural"), ("arms/neural", "arms/expert"),
        ("arms/simple", "arms/expert"), ("arms/simple", "arms/neural"),
        ("arms/expert", "metrics"),
    ],
)  # fmt: skip
def test_what_arms_are_made_of_is_kept_apart(place, never):
    files = list((LIBRARY / place).glob("*.py"))
    assert files
    for path in files:
        for other in imports(path):
            assert not str(other.relative_to(LIBRARY)).startswith(never), (path, other)


def test_the_page_shows_the_imports_as_they_are():
    assert picture() in PAGE.read_text(), "python tests/draw_imports.py draws them"


def test_no_modules_import_each_other_in_a_circle():
    done, stack = set(), []

    def visit(path):
        assert path not in stack, " -> ".join(str(p.relative_to(LIBRARY)) for p in [*stack, path])
        if path in done:
            return
        stack.append(path)
        for other in sorted(imports(path)):
            visit(other)
        done.add(stack.pop())

    for path in FILES:
        visit(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_module_is_short_and_its_functions_fit_a_screen(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.body[0].lineno + 1 - _docstring_lines(node)
            assert length <= LONGEST_FUNCTION, node.name


def _docstring_lines(node):
    first = node.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno - first.lineno + 1 if is_text else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_names_say_what_a_value_is(path):
    for node in ast.walk(ast.parse(path.read_text())):
        name = {
            ast.Name: lambda n: n.id if isinstance(n.ctx, ast.Store) else None,
            ast.arg: lambda n: n.arg,
            ast.FunctionDef: lambda n: n.name,
        }.get(type(node), lambda n: None)(node)
        assert name not in NAMELESS, f"line {node.lineno}: {name!r} names nothing"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_columns_are_spelt_in_one_place(path):
    if path == LIBRARY / "base/names.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant):
            assert node.value not in ("cell_line", "perturbation", "n_cells"), (
                f"line {node.lineno}: import it from ptrag.base.names"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_the_library_knows_nothing_of_snakemake(path):
    """The linter knows the name, because scripts have it; modules don't."""
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "snakemake" not in names
