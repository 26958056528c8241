"""Files that appear whole or not at all, with their checksums."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptrag.base.errors import PtragError, briefly

if TYPE_CHECKING:
    import pandas as pd


TABLE: dict[str, Any] = {
    "sep": "\t", "index": False, "float_format": "%.10g", "na_rep": "NA", "lineterminator": "\n",
}  # fmt: skip
"""How pandas writes a table: no index, ten significant digits, ``NA`` for missing."""

ZARR_ROOTS = ("zarr.json", ".zgroup", ".zattrs")
"""Files at the root of a zarr, by which a link can name the folder."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name on success.

    On any exception the temporary file is removed, so nothing half-made ever
    stands under the final name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn what the file system says while ``path`` is written into one line."""
    try:
        yield
    except OSError as error:
        raise PtragError(
            f"cannot write {path}: {briefly(error)}; free some space or choose another folder"
        ) from error


def link_or_copy(source: str | Path, path: str | Path) -> None:
    """Give a file a second name, without its bytes a second time; else, on another disk, copy it.

    For files that nobody edits: what is written into one of them stands in both.
    """
    try:
        os.link(Path(source).resolve(), path)
    except OSError:
        shutil.copyfile(source, path)


def share_as_others(path: str | Path) -> None:
    """Give a file the permissions that the process gives to new files.

    Some libraries write files that nobody but their owner can read.
    """
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hex digits, read in chunks.

    Of a folder (a zarr) it is that of the sorted names and checksums of all files in it.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(part for part in path.rglob("*") if part.is_file())
        lines = [f"{part.relative_to(path).as_posix()} {sha256(part)}" for part in files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def zarr_root(folder: str | Path) -> Path | None:
    """Return the file that makes a folder a zarr; None where it is none."""
    return next((p for name in ZARR_ROOTS if (p := Path(folder) / name).is_file()), None)


def whole(path: str | Path) -> Path:
    """Return the folder of a zarr that is named by a file at its root, else the path itself."""
    path = Path(path)
    target = path.resolve()
    return target.parent if target.name in ZARR_ROOTS else path


def write_digests(paths: Sequence[str | Path], digests: Sequence[str | Path]) -> None:
    """Write the checksum of each large file into a small one, which is compared in its place.

    Parameters
    ----------
    paths
        Files, or links to the root of a zarr.
    digests
        A JSON for each: ``sha256``, and ``size`` in bytes of what is no folder.
    """
    for path, digest in zip(paths, digests, strict=True):
        content = whole(path)
        size = None if content.is_dir() else content.stat().st_size
        write_json({"sha256": sha256(content), "size": size}, digest)


def write_table(table: "pd.DataFrame", path: str | Path) -> None:
    """Write a table as TSV: no index, ten significant digits, ``NA`` for missing."""
    with atomic(path) as part:
        table.to_csv(part, **TABLE)


def read_table(path: str | Path, **kwargs: Any) -> "pd.DataFrame":
    """Read what :func:`write_table` wrote.

    Only ``NA`` is missing: there are genes called ``NAN`` in the wild.
    """
    import pandas as pd

    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["NA"], **kwargs)


def write_json(content: Any, path: str | Path) -> None:
    """Write ``content`` as indented JSON with sorted keys."""
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file, with or without a byte order mark.

    Raises
    ------
    PtragError
        If it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PtragError(f"{path}: is no JSON ({error}); mend the file") from None
