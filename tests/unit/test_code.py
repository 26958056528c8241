import pytest

from ptrag.provenance import code
from ptrag.provenance.code import closure, code_digest


@pytest.fixture
def tree(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("stage.py", "import os\nfrom pack.a import thing\n")
    write("other.py", "from pack import c\n")
    write("pack/__init__.py", "")
    write("pack/a.py", "def thing():\n    from pack.deep.b import x\n    return x\n")
    write("pack/c.py", "import pack.a\n")
    write(
        "typed.py",
        "import typing\nif typing.TYPE_CHECKING:\n    import pack.unused\nimport pack.c\n",
    )
    write("pack/unused.py", "")
    write("pack/deep/__init__.py", "from pack.deep import b\n")
    write("pack/deep/b.py", "import pack.c\nx = 1\n")
    return tmp_path


def names(tree, *entries):
    return [str(path.relative_to(tree)) for path in closure(entries, root=tree)]


def test_closure_follows_imports_in_functions_and_cycles(tree):
    assert names(tree, "stage.py") == [
        "pack/__init__.py", "pack/a.py", "pack/c.py", "pack/deep/__init__.py",
        "pack/deep/b.py", "stage.py",
    ]  # fmt: skip


def test_from_package_import_module_names_the_module(tree):
    assert "pack/c.py" in names(tree, "other.py")
    assert "pack/unused.py" not in names(tree, "other.py", "stage.py")


def test_imports_for_type_checkers_do_not_count(tree):
    found = names(tree, "typed.py")
    assert "pack/unused.py" not in found
    assert "pack/c.py" in found


def test_comments_docstrings_and_layout_keep_the_digest(tree):
    before = code_digest(["stage.py"], tree)
    path = tree / "pack/a.py"
    path.write_text(
        '"""A module."""\n\n\ndef thing():\n    """Do it."""\n    # why\n'
        "    from pack.deep.b import (\n        x,\n    )\n    return x\n"
    )
    _forget()
    assert code_digest(["stage.py"], tree) == before


@pytest.mark.parametrize("name", ["stage.py", "pack/a.py", "pack/deep/__init__.py"])
def test_an_edit_anywhere_in_the_closure_changes_the_digest(tree, name):
    before = code_digest(["stage.py"], tree)
    path = tree / name
    path.write_text(path.read_text() + "more = 1\n")
    _forget()
    assert code_digest(["stage.py"], tree) != before


def test_an_edit_elsewhere_keeps_the_digest(tree):
    before = code_digest(["stage.py"], tree)
    (tree / "pack/unused.py").write_text("more = 1\n")
    _forget()
    assert code_digest(["stage.py"], tree) == before


def _forget():
    """A process reads each file once; a test that edits files stands for several processes."""
    code.imported_files.cache_clear()
    code._tree_digest.cache_clear()
