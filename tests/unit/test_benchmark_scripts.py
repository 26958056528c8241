"""Scripts that no rule calls keep up with the library: names resolve, and the studies run."""

import ast
import importlib
import sys

import pytest
import yaml

from ptrag.base.files import read_table

FOLDERS = ("benchmarks", "tests/oracle", "docs")
SMALL = {
    "lines": ["k562", "rpe1", "hepg2"], "n_perturbations": 14, "n_genes": 40, "cells_per_pair": 10,
    "controls_per_line": 40, "batches": 1,
}  # fmt: skip
SPLIT = {
    "protocol": "unseen_combination",
    "target": "hepg2",
    "fractions": {"val": 0.1, "test": 0.3},
}


def imported(tree):
    """Yield (module, name) of every ``from … import``, of code in strings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and "\nfrom ptrag." in str(node.value):
            yield from imported(ast.parse(node.value))


def defined(tree):
    """Names that a module defines or imports at its top."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def lacking(module, name):
    """Whether the library has no such name."""
    parent = importlib.import_module(module)
    if hasattr(parent, name):
        return False
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return True
    return False


def unresolved(paths):
    """Imports of the library, and of scripts from those beside them, that lead nowhere."""
    trees = {path: ast.parse(path.read_text()) for path in paths}
    gone = []
    for path, tree in trees.items():
        for module, name in imported(tree):
            beside = path.with_name(f"{module}.py")
            if module.split(".")[0] == "ptrag":
                missing = lacking(module, name)
            else:
                missing = beside in trees and name not in defined(trees[beside])
            if missing:
                gone.append(f"{path.name}: from {module} import {name}")
    return gone


def test_what_scripts_import_exists(root):
    paths = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.py"))]
    assert len(paths) > 30
    assert unresolved(paths) == []


def test_what_does_not_exist_is_found(tmp_path):
    (tmp_path / "one.py").write_text("from ptrag.base.names import PAIR, NOTHING\nA = 1\n")
    (tmp_path / "two.py").write_text(
        'from one import A, B\nC = """\nfrom ptrag.base import gone\n"""\n'
    )
    assert unresolved(sorted(tmp_path.glob("*.py"))) == [
        "one.py: from ptrag.base.names import NOTHING",
        "two.py: from one import B",
        "two.py: from ptrag.base import gone",
    ]


@pytest.fixture(scope="module")
def scripts(root):
    """Import a script of benchmarks/ by its name."""
    folder = str(root / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def config(root, tmp_path_factory):
    """The configuration with one small screen that takes a second."""
    texts = str(root / "resources/gene_text.tsv.gz")
    whole = yaml.safe_load((root / "config.yaml").read_text())
    entry = whole["datasets"]["demo"]
    entry["simulate"] |= SMALL | {"gene_text": texts}
    entry["splits"] = {"hepg2": SPLIT}
    entry["settings"] = {"cells": {"genes": "all", "min_cells": 5, "min_controls": 10}}
    whole["datasets"] = {"small": entry, "demo": entry}  # nulls.py draws its own from the demo
    whole["embeddings"]["text"]["gene_text"] = texts
    whole["evaluation"] |= {"bootstrap": 50, "n_pcs": 5}
    whole["model"] |= {"hidden": 16, "layers": 1, "heads": 2, "head_size": 8, "feed_forward": 32,
                       "frozen_backbone": False}  # fmt: skip
    whole["training"] |= {"sets": 4, "set_size": 8}
    path = tmp_path_factory.mktemp("studies") / "config.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


@pytest.mark.parametrize(
    ("script", "more", "words"),
    [
        ("contest", ("--out", "contest.tsv"), ("response_expert@permuted", "realised")),
        ("attribution", ("--residual", "4"), ("same perturbation", "residual")),
        ("denoise", (), ("denoised r", "mse ahead")),
        ("reliability", ("--svg", "drawn.svg"), ("nominal", "kept")),
    ],
)
def test_a_study_runs(scripts, config, capsys, tmp_path, monkeypatch, script, more, words):
    monkeypatch.chdir(tmp_path)
    given = [script, "small", "--config", str(config), "--seeds", "1", *more]
    monkeypatch.setattr(sys, "argv", given)
    scripts(script).main()
    printed = capsys.readouterr().out
    assert all(word in printed for word in words)
    if script == "contest":
        assert set(read_table(tmp_path / "contest.tsv")["split"]) == {"hepg2"}
    if script == "reliability":
        assert "<svg" in (tmp_path / "drawn.svg").read_text()


def test_the_study_of_nulls_runs(scripts, config, capsys, monkeypatch):
    nulls = scripts("nulls")
    for knob, value in SMALL.items():
        monkeypatch.setitem(nulls.KNOBS, knob, value)
    monkeypatch.setattr(sys, "argv", ["nulls", "--config", str(config), "--screens", "1"])
    nulls.main()
    assert "texts: found" in capsys.readouterr().out
