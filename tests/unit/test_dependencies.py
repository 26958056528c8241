import pytest
from dependencies import closure


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
    found = closure([str(tree / entry) for entry in entries], root=str(tree))
    return [path.removeprefix(f"{tree}/") for path in found]


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
