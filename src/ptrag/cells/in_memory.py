"""Cells in memory, handed to what reads files: one way in for both."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import anndata

from ptrag.base.errors import PtragError

Cells: TypeAlias = "anndata.AnnData | str | Path"
"""Cells in memory, or the path of a file of cells (h5ad, h5mu, zarr, 10x h5)."""

logger = logging.getLogger("ptrag")


@contextmanager
def as_files(**cells: Cells) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a scratch folder, and the file of each argument that holds cells.

    Errors and log lines call what was in memory by the argument's name, not by that of a file that
    nobody wrote.

    Parameters
    ----------
    cells
        {name of the argument: cells or a path}.

    Raises
    ------
    PtragError
        If one is neither.
    """
    with TemporaryDirectory(prefix="ptrag-") as scratch:
        files = [_as_file(of, Path(scratch), name) for name, of in cells.items()]
        words = {str(file): name for file, name in zip(files, cells, strict=True)
                 if file.is_relative_to(scratch)}  # fmt: skip
        renaming = _Renaming(words)
        logger.addFilter(renaming)
        try:
            yield Path(scratch), files
        except PtragError as error:
            raise PtragError(renaming.renamed(str(error))) from None
        finally:
            logger.removeFilter(renaming)


class _Renaming(logging.Filter):
    """Replaces words in log lines."""

    def __init__(self, words: Mapping[str, str]) -> None:
        super().__init__()
        self._words = words

    def renamed(self, text: str) -> str:
        """Return a text with every word replaced."""
        for word, by in self._words.items():
            text = text.replace(word, by)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line pass, renamed."""
        record.msg, record.args = self.renamed(record.getMessage()), ()
        return True


def _as_file(cells: Cells, scratch: Path, name: str) -> Path:
    """Return the file of cells: as it is, or written without what is not read."""
    if isinstance(cells, str | Path):
        return Path(cells)
    if not isinstance(cells, anndata.AnnData):
        raise PtragError(f"{name}: is a {type(cells).__name__}; give an AnnData or a path")
    if cells.isbacked and not cells.is_view:
        return Path(cells.filename)
    path = scratch / f"{name}.h5ad"
    simulated = {"simulated": cells.uns["simulated"]} if "simulated" in cells.uns else {}
    anndata.AnnData(cells.X, cells.obs, cells.var, uns=simulated).write_h5ad(path)
    return path
