"""The files that the report reads."""

from pathlib import Path

from ptrag.base.errors import PtragError


def present(path: Path) -> Path:
    """Return a path, or say that the file is missing."""
    if not path.is_file():
        raise PtragError(f"{path}: no such file; the report needs it, run the workflow first")
    return path
