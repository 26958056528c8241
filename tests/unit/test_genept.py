import hashlib
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest

import ptrag
from ptrag.base.errors import PtragError
from ptrag.base.files import link_or_copy
from ptrag.genes.genept import load_genept
from ptrag.simulate.example import example_screen

VECTORS = {"TP53": [0.5, -1.0], "KRAS": [0.25, 2.0]}
MEMBER = "folder/ada_text.pickle"


@pytest.fixture
def archive(tmp_path):
    def write(content, protocol=4):
        path = tmp_path / "genept.zip"
        data = content if isinstance(content, bytes) else pickle.dumps(content, protocol)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(MEMBER, data)
        return path, hashlib.sha256(data).hexdigest()

    return write


@pytest.mark.parametrize("protocol", range(6))
def test_reads_the_archive_and_the_bare_pickle(archive, tmp_path, protocol):
    path, digest = archive(VECTORS, protocol)
    assert load_genept(path, MEMBER, digest) == VECTORS
    bare = tmp_path / "vectors.pickle"
    bare.write_bytes(pickle.dumps(VECTORS, protocol))
    assert load_genept(bare) == VECTORS


class Runs:
    """Unpickled by an ordinary unpickler, this makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_is_refused_and_does_not_run(archive, tmp_path, protocol):
    path, _ = archive({"TP53": Runs(tmp_path / "ran")}, protocol)
    with pytest.raises(PtragError, match="refused as unsafe"):
        load_genept(path, MEMBER)
    assert not (tmp_path / "ran").exists()


def test_global_by_the_stack_or_the_registry_is_refused(archive):
    for evil in (
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x82\x01.",
    ):
        path, _ = archive(evil)
        with pytest.raises(PtragError, match="refused as unsafe"):
            load_genept(path, MEMBER)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1.0], "holds a list"),
        ({}, "expected a dict"),
        ({1: [1.0]}, "expected str -> list"),
        ({"TP53": "text"}, "expected str -> list"),
        ({"TP53": [1.0, 2]}, "something else than floats"),
        ({"TP53": []}, "something else than floats"),
        ({"TP53": [1.0, 2.0], "KRAS": [1.0]}, "'KRAS' has 1 dimensions, others have 2"),
        (b"no pickle at all", "refused"),
        (pickle.dumps(VECTORS)[:-9], "refused"),
    ],
)
def test_anything_but_a_table_of_floats_is_refused(archive, content, said):
    path, _ = archive(content)
    with pytest.raises(PtragError, match=said):
        load_genept(path, MEMBER)


def test_checksum_is_compared_before_anything_is_unpickled(archive, tmp_path):
    path, _ = archive({"TP53": Runs(tmp_path / "ran")})
    with pytest.raises(PtragError, match="member_sha256"):
        load_genept(path, MEMBER, "0" * 64)


def test_wrong_member_missing_file_and_damaged_archive(archive, tmp_path):
    path, digest = archive(VECTORS)
    with pytest.raises(PtragError, match=r"did you mean 'folder/ada_text\.pickle'"):
        load_genept(path, "folder/ada_txt.pickle", digest)
    with pytest.raises(PtragError, match="no file"):
        load_genept(tmp_path / "none.zip", MEMBER)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PtragError):
        load_genept(path, MEMBER)


def test_bundles_share_one_archive_and_a_copy_stands_alone(tmp_path):
    screen = example_screen()
    names = [*set(screen.obs["perturbation"]) - {"control"}, "MYC"]
    vectors = np.random.default_rng(1).normal(size=(len(names), 8)).tolist()
    source = tmp_path / "genept.pickle"
    source.write_bytes(pickle.dumps(dict(zip(names, vectors, strict=True))))
    fitted = ptrag.fit(
        screen, cell_line="cell_line", arm="ridge", embedding="genept", embedding_file=source
    )
    for folder in ("one", "two"):
        fitted.save(tmp_path / folder)
        assert (tmp_path / folder / "provider/genept.pickle").samefile(source)
    shutil.copytree(tmp_path / "one", tmp_path / "alone")
    for folder in ("one", "two"):
        shutil.rmtree(tmp_path / folder)
    source.unlink()
    controls = screen[(screen.obs["perturbation"] == "control").to_numpy()]
    controls = controls[(controls.obs["cell_line"] == "rpe1").to_numpy()]
    predicted = ptrag.load(tmp_path / "alone").predict(controls, ["MYC"], cell_line="rpe1")
    assert predicted.summary["level"].tolist() == ["never perturbed"]


def test_where_a_disk_has_no_links_the_archive_is_copied(tmp_path, monkeypatch):
    (tmp_path / "archive").write_bytes(b"abc")

    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    link_or_copy(tmp_path / "archive", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"abc"
    assert not (tmp_path / "copy").samefile(tmp_path / "archive")
