"""Source files: found where the user put them, or downloaded.

A download goes to ``.{name}.part`` and takes its name only once it is whole and its
checksum right, before anything has parsed it. A part that was cut short is kept and
the next call goes on from there, if the server still has the same file.
"""

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from ptrag.base import files
from ptrag.base.errors import PtragError

RECORD = "record"
"""As a sha256: the first file's checksum is written down, later files must match it."""

ATTEMPTS = 5
"""Connections in a row that may bring nothing before a download is given up."""

RETRY_WAIT = 2.0
"""Seconds before the second connection; doubled before each further one."""

TIMEOUT = 60.0
"""Seconds in which a server must send something."""

_BLOCK = 1 << 16  # what a cut connection can lose
_LOG_EVERY = 30.0  # seconds

logger = logging.getLogger("ptrag")


class _CutError(Exception):
    """A connection that ended too early, or a server that is busy: worth another try."""


@dataclass(frozen=True)
class _Checks:
    """What is known of a file before anything parses it."""

    sha256: str | None = None
    md5: str | None = None
    size: int | None = None

    def fault(self, path: Path, record: Path) -> str | None:
        """Say what is wrong with ``path``, or None; ``record`` keeps a recorded sha256."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"has {size} bytes, {self.size} are expected"
        if self.md5 is not None and (actual := _md5(path)) != self.md5:
            return f"has md5 {actual}, {self.md5} is expected"
        wanted = self.sha256
        if wanted == RECORD:
            wanted = record.read_text().split()[0] if record.exists() else None
        if wanted is not None and (actual := files.sha256(path)) != wanted:
            by = f" (recorded in {record})" if self.sha256 == RECORD else ""
            return f"has sha256 {actual}, {wanted}{by} is expected"
        return None

    def remember(self, path: Path, record: Path) -> None:
        """Write the checksum down where the configuration asks for that."""
        if self.sha256 == RECORD and not record.exists():
            with files.atomic(record) as part:
                part.write_text(f"{files.sha256(path)}  {path.name}\n")
            logger.info("recorded the sha256 of %s in %s", path, record)


def obtain(spec: Mapping[str, Any], data_dir: str | Path, out: str | Path) -> None:
    """Put a data set's source at ``out``: a link to a local file, else a download.

    Parameters
    ----------
    spec
        ``file``, a name inside ``data_dir``; and, as far as known, ``url``,
        ``sha256`` (hex digits or ``record``), ``md5``, ``size`` (bytes) and
        ``origin`` (where a file without url comes from, in words).
    data_dir
        Where local files are looked for.
    out
        What the workflow reads. A local file is linked, never copied; of a zarr folder, the file
        at its root.

    Raises
    ------
    PtragError
        If there is neither file nor url, a check fails or ``out`` cannot be written.
    """
    out, url = Path(out), spec.get("url")
    local = Path(data_dir) / (spec.get("file") or Path(urlsplit(url or "").path).name)
    checks = _Checks(spec.get("sha256"), spec.get("md5"), spec.get("size"))
    local = files.zarr_root(local) or local
    if local.is_file():
        whole = local.parent if local.name in files.ZARR_ROOTS else local
        logger.info("checking %s", whole)
        record = _record(out)
        if fault := checks.fault(whole, record):
            again = f" from {url}" if url else ""
            raise PtragError(f"{whole} {fault}; remove it or fetch it again{again}")
        with files.writing(out):
            checks.remember(whole, record)
            with files.atomic(out) as part:
                part.unlink(missing_ok=True)
                part.symlink_to(local.resolve())
    elif url:
        fetch(url, out, sha256=checks.sha256, md5=checks.md5, size=checks.size)
    else:
        origin = f" (from {spec['origin']})" if spec.get("origin") else ""
        raise PtragError(
            f"{local}: there is no such file; fetch {local.name}{origin} and put it into "
            f"{data_dir}, or set `data_dir` to the folder that has it"
        )


def fetch(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    progress: bool = True,
) -> None:
    """Download ``url`` to ``path``, going on where an earlier call was cut short.

    Parameters
    ----------
    url
        Address, http or https.
    path
        The file, which appears only when whole and checked. One that is there and
        matches the checks is kept.
    sha256
        Expected hex digits; ``record`` writes them to ``{path}.sha256`` the first
        time and expects them later.
    md5, size
        Expected hex digits and bytes.
    progress
        Whether to show a bar on a terminal.

    Raises
    ------
    PtragError
        If the server refuses, sends a web page, or the connection keeps failing; if
        the file is not what the checks say, which keeps nothing; if it cannot be
        written.
    """
    path = Path(path)
    checks, record = _Checks(sha256, md5, size), _record(path)
    known = sha256 not in (None, RECORD) or md5 is not None or record.exists()
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and known and checks.fault(path, record) is None:
            return
        part = path.with_name(f".{path.name}.part")
        logger.info("downloading %s", url)
        _download(url, part, progress)
        fault = "is a web page" if _is_page(part) else checks.fault(part, record)
        if fault:
            part.unlink()
            _mark(part).unlink(missing_ok=True)
            raise PtragError(
                f"{url}: what was downloaded {fault}; nothing was kept: check the address and "
                "its checksum in the configuration"
            )
        os.replace(part, path)
        _mark(part).unlink(missing_ok=True)
        checks.remember(path, record)
    logger.info("%s: %d bytes, checked", path, path.stat().st_size)


def _download(url: str, part: Path, progress: bool) -> None:
    """Fill ``part``, connecting again as long as connections bring something."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _connect(url, part, progress)
        except (_CutError, requests.RequestException) as error:
            failures = failures + 1 if _size(part) <= before else 1
            if failures >= ATTEMPTS or isinstance(error, requests.exceptions.InvalidURL):
                raise PtragError(
                    f"{url}: the download failed ({_reason(error)}) after {_size(part)} bytes; "
                    "run again to go on from there"
                ) from None
            logger.info("connection to %s failed (%s), trying again", url, _reason(error))
            time.sleep(RETRY_WAIT * 2 ** (failures - 1))


def _connect(url: str, part: Path, progress: bool) -> None:
    """Ask once for what is missing of ``part`` and append it."""
    have, mark = _size(part), _mark(part)
    headers = {"Accept-Encoding": "identity"}
    if have and mark.exists():
        # If-Range: the server sends the whole file where it has another one by now.
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise _CutError("the part did not fit")
        _accept(url, response)
        resumed = response.status_code == 206
        if resumed and not _continues(response, have):
            part.unlink()
            raise _CutError("the server sent another part")
        if not resumed:
            have = 0
            # http.server and many others have no ETag; the date serves as well.
            mark.write_text(_validator(response))
        _save(response, part, have, progress)


def _save(response: requests.Response, part: Path, have: int, progress: bool) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
    last_logged = time.monotonic()
    bar = tqdm(
        total=total, initial=have, unit="B", unit_scale=True, disable=None if progress else True
    )
    with open(part, "ab" if have else "wb") as file, bar:
        for block in response.iter_content(_BLOCK):
            file.write(block)
            have += len(block)
            bar.update(len(block))
            if time.monotonic() - last_logged > _LOG_EVERY:
                last_logged = time.monotonic()
                logger.info("%d of %s bytes", have, total or "unknown")
    if total is not None and have < total:
        raise _CutError(f"{have} of {total} bytes came")


def _accept(url: str, response: requests.Response) -> None:
    """Refuse what cannot be the file."""
    code = response.status_code
    if code == 429 or code >= 500:
        raise _CutError(f"the server says {code}")
    if code not in (200, 206):
        raise PtragError(f"{url}: the server says {code} {response.reason}; check the address")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise PtragError(
            f"{url}: the server sent a web page, not a file; check the address "
            "(it may ask for a login)"
        )


def _continues(response: requests.Response, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _validator(response: requests.Response) -> str:
    """Return what tells this version of the file from others, for If-Range; may be empty."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _is_page(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _mark(part: Path) -> Path:
    """Beside a part: what the server called this version of the file."""
    return part.with_name(f"{part.name}.version")


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reason(error: Exception) -> str:
    """Say in a few words why a connection failed: requests nests its reasons deep."""
    if isinstance(error, _CutError):
        return str(error)
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error).splitlines()[0]
