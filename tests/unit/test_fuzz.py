"""Mutated files and configurations: right or one line, no traceback, nothing half-made."""

import copy

import h5py
import numpy as np
import pytest
import yaml
from border_screens import ALL, SPEC, screen

from ptrag import config as cfg
from ptrag.base.errors import PtragError
from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore
from ptrag.schema import read_schema

FEW = 60
MANY = 500
VALUES = [
    None, True, -1, 0, 3, 1e9, 0.5, "", "a", "1e-3", "~/x", "..", "a/b", "k562+rpe1", [], [None],
    ["a", "a"], {}, {"a": 1}, "NaN", float("nan"), "é\u200b", "ptrag@shuffled", "[", 10**30,
]  # fmt: skip
"""What a value of a configuration is replaced with."""


def mutate_bytes(path, rng):
    content = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 20)):
        at = int(rng.integers(len(content)))
        content[at] = int(rng.integers(256))
    if rng.random() < 0.2:
        content = content[: int(rng.integers(len(content)))]
    path.write_bytes(bytes(content))


def nodes(file):
    names = []
    file.visit(names.append)
    return names


def mutate_structure(path, rng):
    with h5py.File(path, "r+") as file:
        for _ in range(rng.integers(1, 4)):
            names = nodes(file)
            name = names[rng.integers(len(names))]
            node = file[name]
            kind = rng.integers(6)
            if kind == 0:
                del file[name]
            elif kind == 1 and node.attrs:
                del node.attrs[list(node.attrs)[rng.integers(len(node.attrs))]]
            elif kind == 2:
                node.attrs["encoding-type"] = str(rng.choice(["array", "dataframe", "x", "null"]))
            elif kind == 3 and isinstance(node, h5py.Dataset) and node.shape:
                values = node[()][: int(rng.integers(len(node) + 1))]
                attributes = dict(node.attrs)
                del file[name]
                file[name] = values
                file[name].attrs.update(attributes)
            elif kind == 4 and isinstance(node, h5py.Dataset) and node.dtype.kind in "fi":
                if node.size:
                    node[int(rng.integers(len(node)))] = rng.choice([-1, 0, 7, 10**6])
            elif kind == 5 and isinstance(node, h5py.Dataset):
                attributes = dict(node.attrs)
                del file[name]
                file[name] = np.array([b"words", b"NA"])
                file[name].attrs.update(attributes)


def refused_or_whole(source, out, where):
    """Build the store; return whether it could be. An error is one line and leaves nothing."""
    try:
        build_cells(source, SPEC, ALL, out / "cells.h5ad")
    except PtragError as error:
        assert "\n" not in str(error) and str(error), where
        assert not out.exists() or list(out.iterdir()) == [], where
        return False
    return True


def fuzz_files(tmp_path, n, mutate, seed):
    rng = np.random.default_rng(seed)
    screen().write_h5ad(tmp_path / "plain.h5ad")
    plain = (tmp_path / "plain.h5ad").read_bytes()
    ran = 0
    for i in range(n):
        source, out = tmp_path / "source.h5ad", tmp_path / f"out{i}"
        source.write_bytes(plain)
        mutate(source, rng)
        if refused_or_whole(source, out, f"file {i}"):
            ran += 1
            store = CellStore(out / "cells.h5ad")
            assert np.isfinite(store.X).all()
    return ran


def places(config, path=()):
    """Every place of a configuration, as a path of keys."""
    if path:
        yield path
    if isinstance(config, dict):
        for key, value in config.items():
            yield from places(value, (*path, key))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from places(value, (*path, i))


def mutate_config(config, rng):
    config = copy.deepcopy(config)
    for _ in range(rng.integers(1, 4)):
        every = list(places(config))
        *path, last = every[rng.integers(len(every))]
        place = config
        for key in path:
            place = place[key]
        kind = rng.integers(3)
        if kind == 0:
            del place[last]
        elif kind == 1 or not isinstance(place, dict):
            place[last] = VALUES[rng.integers(len(VALUES))]
        else:
            place[f"{last}x"] = place.pop(last)
    return config


def fuzz_configurations(root, n, seed):
    rng = np.random.default_rng(seed)
    schema = read_schema(root / "workflow/schemas/config.schema.yaml")
    shipped = yaml.safe_load((root / "config.yaml").read_text())
    small = shipped | {"datasets": {key: shipped["datasets"][key] for key in ("demo", "papalexi")}}
    ran = 0
    for i in range(n):
        config = mutate_config(small, rng)
        try:
            settings = cfg.resolve(config, schema, home=root)
            list(cfg.runs(settings))
            ran += 1
        except PtragError as error:
            assert "\n" not in str(error), f"configuration {i}"
            assert str(error).startswith("config.yaml: "), (i, str(error))
    return ran


@pytest.mark.parametrize("mutate", [mutate_bytes, mutate_structure])
def test_mutated_files(tmp_path, mutate):
    fuzz_files(tmp_path, FEW, mutate, seed=1)


def test_mutated_configurations(root):
    fuzz_configurations(root, FEW, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("mutate", [mutate_bytes, mutate_structure])
def test_many_mutated_files(tmp_path, mutate):
    ran = fuzz_files(tmp_path, MANY // 2, mutate, seed=2)
    print(f"{MANY // 2} files by {mutate.__name__}: {ran} ran, the others were refused in a line")


@pytest.mark.slow
def test_many_mutated_configurations(root):
    ran = fuzz_configurations(root, MANY, seed=2)
    print(f"{MANY} configurations: {ran} resolve, the others were refused in a line")
