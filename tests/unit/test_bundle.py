import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_screen import MODEL, OPTIONS, PERTURBATIONS, TRAINED, G, make_bundle

from ptrag.arms.neural.networks import Shapes
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import sha256
from ptrag.cells.store import CellStore
from ptrag.prediction.bundle import facts_digest, write_bundle
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.network_files import network_files
from ptrag.prediction.prediction import GivenControls


@pytest.mark.parametrize("arm", list(OPTIONS))
def test_a_bundle_is_enough_by_itself(arm, tmp_path):
    made = make_bundle(tmp_path / "made", arm)
    cells = np.random.default_rng(0).random((9, G), dtype=np.float32)
    given = GivenControls("", cells, [f"c{i}" for i in range(9)])
    before = load_bundle(made, "cpu").predictor.predict(given, "A").cells
    moved = shutil.move(made, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "made")
    bundle = load_bundle(moved, "cpu")
    np.testing.assert_array_equal(bundle.predictor.predict(given, "A").cells, before)
    assert bundle.genes == [f"G{i}" for i in range(G)]
    assert bundle.about["scale"] == "log1p"
    assert bundle.about["simulated"] is True


def test_weights_come_back_bit_by_bit(tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    written = load_file(made / "weights.safetensors")
    network = load_bundle(made, "cpu").predictor.network
    for name, tensor in network.state_dict().items():
        if name == "batch_embedding.weight":  # one row more: the mean batch
            torch.testing.assert_close(tensor[-1], written[name].mean(0))
            tensor = tensor[:-1]
        assert torch.equal(tensor, written[name]), name


def test_a_bundle_holds_no_pickle(tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    for path in made.rglob("*"):
        if path.is_file():
            assert path.suffix in {".json", ".safetensors", ".h5ad", ".faiss", ".tsv", ".npz"}, path
            assert b"\x80\x04\x95" not in path.read_bytes(), path


def test_what_is_said_of_a_bundle_is_what_it_was_trained_on(tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    about = json.loads((made / "bundle.json").read_text())
    store = CellStore(tmp_path / "cells.h5ad")
    assert about["genes"] == store.genes
    assert load_bundle(made).lines.names == store.lines
    assert about["perturbations"] == PERTURBATIONS
    assert about["trained"] == TRAINED
    assert about["hashes"]["cells"] == "0" * 64
    files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
    assert about["files"] == {
        name: sha256(path) for name, path in files.items() if name != "bundle.json"
    }


def test_a_bundle_replaces_the_one_before_and_leaves_nothing_half_made(tmp_path):
    made = make_bundle(tmp_path, "state")
    (made / "old").write_text("of the bundle before")
    store = CellStore(tmp_path / "cells.h5ad")
    network = load_arm("state").build({}, MODEL, Shapes(G, len(TRAINED), len(store.batches)))
    bundle = load_bundle(made, "cpu")
    files = network_files(network)
    write_bundle(made, bundle.about, bundle.lines, files)
    names = ["bundle.json", "lines.npz", "weights.safetensors"]
    assert sorted(path.name for path in made.iterdir()) == names
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(FileNotFoundError):
        write_bundle(tmp_path / "new", {}, bundle.lines, files, index=tmp_path / "none")
    assert not (tmp_path / "new").exists()


NAMES = ["weights.safetensors", "embedding.h5ad", "lines.npz", "index/neighbours.tsv"]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(name, tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    (made / name).unlink()
    with pytest.raises(PtragError, match=f"bundle: {name} is missing") as caught:
        load_bundle(made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_byte_is_noticed(name, tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    content = bytearray((made / name).read_bytes())
    content[len(content) // 2] ^= 1
    (made / name).write_bytes(content)
    with pytest.raises(PtragError, match=f"{name} is not the file that was written"):
        load_bundle(made)


def test_a_changed_word_of_bundle_json_is_noticed(tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    text = (made / "bundle.json").read_text()
    (made / "bundle.json").write_text(text.replace('"seed": 3', '"seed": 4'))
    with pytest.raises(PtragError, match=r"bundle\.json is not as it was written"):
        load_bundle(made)


def test_weights_of_another_network_do_not_fit(tmp_path):
    made = make_bundle(tmp_path, "ptrag")
    weights = load_file(made / "weights.safetensors")
    del weights["decode.bias"]
    save_file(weights, made / "weights.safetensors")
    about = json.loads((made / "bundle.json").read_text())
    about["files"]["weights.safetensors"] = sha256(made / "weights.safetensors")
    about["sha256"] = facts_digest(about)
    (made / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(PtragError, match="weights do not fit"):
        load_bundle(made)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no bundle, it has no bundle.json"),
        ("<html>", "bundle.json: is no JSON"),
        ('{"format": 99}', "made in format 99"),
    ],
)
def test_what_is_no_bundle_is_said_in_one_line(content, message, tmp_path):
    if content is not None:
        (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(PtragError, match=message) as caught:
        load_bundle(tmp_path)
    assert "\n" not in str(caught.value)


def test_colleagues_can_read_every_file(tmp_path):
    before = os.umask(0o022)
    try:
        made = make_bundle(tmp_path, "ptrag")
    finally:
        os.umask(before)
    files = [path for path in made.rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o644"}
