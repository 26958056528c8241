"""Screens as numbers of cells, and specifications of their splits."""

import json
from types import SimpleNamespace

import pandas as pd

from ptrag.base.names import CONTROL

FRACTIONS = {"val": 0.1, "test": 0.4}
LIMITS = {"min_cells": 20, "min_controls": 2}


def store(cells):
    """A stand-in for CellStore: {line: {perturbation: number of cells}}."""
    pairs = [
        (line, name, n)
        for line, counts in sorted(cells.items())
        for name, n in sorted(({CONTROL: 100} | counts).items())
    ]
    table = pd.DataFrame(pairs, columns=["cell_line", "perturbation", "n_cells"])
    return SimpleNamespace(lines=sorted(cells), pairs=table)


def grid(lines=3, genes=20, n=50):
    return store({f"line{i}": {f"G{j:02d}": n for j in range(genes)} for i in range(lines)})


def combination(**more):
    return {"protocol": "unseen_combination", "target": "line0", "fractions": FRACTIONS, **more}


def perturbation(**more):
    return {"protocol": "unseen_perturbation", "fractions": FRACTIONS, **more}


def line(**more):
    return {"protocol": "unseen_line", "target": "line0", "fractions": {"val": 0.2}, **more}


def double(**more):
    return {"protocol": "unseen_double", "fractions": {"val": 0.2, "test": 0.4}, **more}


def having(table, role):
    rows = table[table["role"] == role]
    return set(zip(rows["cell_line"], rows["perturbation"], strict=True))


def names(table, role):
    return {name for _, name in having(table, role)}


def listed(folder, content, **more):
    """The specification of a split by lists, which are written into a folder."""
    path = folder / "lists.json"
    path.write_text(json.dumps(content))
    return {"protocol": "unseen_combination", "target": "line0", "lists": str(path), **more}
