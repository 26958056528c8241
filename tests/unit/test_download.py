import hashlib
import socket

import pytest
from loopback import Server

from ptrag.base.errors import PtragError
from ptrag.provenance import download
from ptrag.provenance.download import RECORD, fetch, obtain

CONTENT = bytes(range(256)) * 4000  # about 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BLOCK = 65536  # what arrives of a cut connection is a whole number of these
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(download, "RETRY_WAIT", 0.0)


@pytest.fixture
def server():
    with Server(CONTENT) as running:
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "cells.h5ad"


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_whole(server, path):
    fetch(server.url, path, sha256=SHA256, md5=MD5, size=len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert names(path) == ["cells.h5ad"]
    fetch(server.url, path, sha256=SHA256)
    assert len(server.asked) == 1, "a file that matches is not fetched again"


def test_a_file_that_no_longer_matches_is_fetched_again(server, path):
    path.parent.mkdir()
    path.write_bytes(b"old")
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_cut_connections_go_on_where_they_ended(server, path):
    server.cuts = [5 * BLOCK, 3 * BLOCK, 1]
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked[0] is None
    assert [int(asked[6:-1]) for asked in server.asked[1:]] == [5 * BLOCK, 8 * BLOCK, 8 * BLOCK]


def test_a_later_call_resumes_and_nothing_half_made_has_the_name(server, path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts = [6 * BLOCK]
    with pytest.raises(PtragError, match=f"after {6 * BLOCK} bytes; run again to go on from there"):
        fetch(server.url, path, sha256=SHA256)
    assert not path.exists()
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={6 * BLOCK}-"]
    assert names(path) == ["cells.h5ad"]


def test_a_server_without_ranges_starts_over(server, path):
    server.ranges = False
    server.cuts = [300_000]
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_mixed(server, path, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts = [300_000]
    with pytest.raises(PtragError):
        fetch(server.url, path, sha256=RECORD)
    server.content, server.version = CONTENT[::-1], '"two"'
    fetch(server.url, path, sha256=RECORD)
    assert path.read_bytes() == CONTENT[::-1]


def test_a_whole_part_needs_only_its_check(server, path):
    path.parent.mkdir()
    (path.parent / ".cells.h5ad.part").write_bytes(CONTENT)
    (path.parent / ".cells.h5ad.part.version").write_text(server.version)
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_dropped(server, path):
    path.parent.mkdir()
    (path.parent / ".cells.h5ad.part").write_bytes(CONTENT + b"more")
    (path.parent / ".cells.h5ad.part.version").write_text(server.version)
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, path):
    server.codes = [503, 429]
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("change", "checks", "message"),
    [
        ({}, {"sha256": "0" * 64}, f"has sha256 {SHA256}, 0000.* is expected"),
        ({}, {"md5": "0" * 32}, f"has md5 {MD5}"),
        ({"content": CONTENT[:-7]}, {"size": len(CONTENT)}, "has 1023993 bytes, 1024000 are"),
        ({"content": CONTENT[:-7]}, {"sha256": SHA256}, "has sha256 .*; nothing was kept"),
        ({"content": b"<!DOCTYPE html><p>Log in"}, {}, "is a web page; nothing was kept"),
        ({"content": b"<html>", "type": "text/html; charset=utf-8"}, {}, "sent a web page"),
        ({"codes": [404]}, {}, "the server says 404 Not Found; check the address"),
        ({"cuts": [0] * 9}, {}, r"the download failed \(.*\) after 0 bytes"),
    ],
)
def test_what_is_not_the_file_keeps_nothing(server, path, change, checks, message):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(PtragError, match=message) as caught:
        fetch(server.url, path, **checks)
    assert "\n" not in str(caught.value)
    assert server.url in str(caught.value)
    assert not path.exists()
    assert all(file.stat().st_size < 10 for file in path.parent.iterdir())


def test_no_server(path):
    with socket.socket() as bound:  # nobody listens there, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(PtragError, match="no connection"):
            fetch(f"http://127.0.0.1:{bound.getsockname()[1]}/file.h5ad", path)
    assert names(path) == []


def test_the_first_download_is_recorded_and_later_ones_must_match(server, path):
    fetch(server.url, path, sha256=RECORD)
    assert path.with_name("cells.h5ad.sha256").read_text() == f"{SHA256}  cells.h5ad\n"
    path.unlink()
    fetch(server.url, path, sha256=RECORD)
    path.unlink()
    server.content = CONTENT + b"!"
    with pytest.raises(PtragError, match=rf"{SHA256} \(recorded in .*cells.h5ad.sha256\) is"):
        fetch(server.url, path, sha256=RECORD)
    assert names(path) == ["cells.h5ad.sha256"]


def test_a_full_disk(server, path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_save", full)
    with pytest.raises(PtragError, match=r"cannot write .*cells.h5ad: no space left on device"):
        fetch(server.url, path)


def test_a_folder_that_cannot_be_made(server):
    with pytest.raises(PtragError, match=r"cannot write /proc/ptrag/cells.h5ad"):
        fetch(server.url, "/proc/ptrag/cells.h5ad")


def test_a_local_file_is_checked_and_linked(tmp_path, path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.h5ad").write_bytes(CONTENT)
    for _ in range(2):
        obtain({"file": "mine.h5ad", "url": None, "sha256": SHA256}, tmp_path / "data", path)
    assert path.is_symlink()
    assert str(path.readlink()) == str((tmp_path / "data" / "mine.h5ad").resolve())
    assert path.read_bytes() == CONTENT
    with pytest.raises(PtragError, match=r"mine.h5ad has sha256 .*fetch it again from http://x"):
        obtain({"file": "mine.h5ad", "url": "http://x", "sha256": "0"}, tmp_path / "data", path)


def test_a_local_file_is_recorded_too(tmp_path, path):
    (tmp_path / "mine.h5ad").write_bytes(CONTENT)
    obtain({"file": "mine.h5ad", "sha256": RECORD}, tmp_path, path)
    (tmp_path / "mine.h5ad").write_bytes(b"other")
    with pytest.raises(PtragError, match="recorded in"):
        obtain({"file": "mine.h5ad", "sha256": RECORD}, tmp_path, path)


def test_a_copy_under_the_address_s_own_name_spares_the_download(tmp_path, path):
    (tmp_path / "file.h5ad").write_bytes(CONTENT)
    spec = {"url": "http://127.0.0.1:9/file.h5ad?download=1", "size": len(CONTENT)}
    obtain(spec, tmp_path, path)
    assert path.read_bytes() == CONTENT
    path.unlink()
    with pytest.raises(PtragError, match="bytes, 1 are expected"):
        obtain(spec | {"size": 1}, tmp_path, path)
    assert not path.exists()


def test_a_missing_local_file_is_downloaded_or_asked_for(server, tmp_path, path):
    obtain({"file": "mine.h5ad", "url": server.url, "sha256": SHA256}, tmp_path / "data", path)
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    spec = {"file": "mine.h5ad", "url": None, "sha256": None, "origin": "sceptredata"}
    with pytest.raises(PtragError) as caught:
        obtain(spec, "data", path)
    assert str(caught.value) == (
        "data/mine.h5ad: there is no such file; fetch mine.h5ad (from sceptredata) and put it "
        "into data, or set `data_dir` to the folder that has it"
    )
