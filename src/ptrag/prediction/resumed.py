"""Predictions that go on after a kill: what was predicted is kept until all of it is written.

Beside the cells that are being predicted stands a folder of blocks, each an ``.npz`` without
pickles of some pairs one after the other, which takes its name when it is whole. Numbers are kept
as they are, so that the files in the end have the same bytes as those of an unbroken run. Blocks
that were made by another bundle, of other pairs or by other code are left aside.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, read_json, write_json
from ptrag.base.names import Pair
from ptrag.prediction.prediction import GivenControls, Prediction, Predictor

BLOCK = 32  # pairs; a kill loses one block at most
RECORD = "record.json"
EVIDENCE = "evidence"

logger = logging.getLogger("ptrag")


@contextmanager
def resumed(
    predictor: Predictor, cells: str | Path, depends_on: Mapping[str, Any]
) -> Iterator["Resumed"]:
    """Yield a predictor that keeps what it predicts, and has what an earlier call has kept.

    Parameters
    ----------
    predictor
        Who predicts; asked for the same pairs in the same order each time.
    cells
        The file that the predicted cells go to; the folder stands beside it, until the block
        ends without an exception.
    depends_on
        What makes predictions what they are: blocks of anything else are left aside.
    """
    cells = Path(cells)
    folder = cells.with_name(f".{cells.name}.blocks")
    content = json.dumps(depends_on, sort_keys=True).encode()
    record = {"depends_on": hashlib.sha256(content).hexdigest()}
    if not _is_recorded(folder, record):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(record, folder / RECORD)
    yield Resumed(predictor, folder)
    shutil.rmtree(folder)


def _is_recorded(folder: Path, record: dict[str, str]) -> bool:
    try:
        return read_json(folder / RECORD) == record
    except (OSError, PtragError):
        return False


class Resumed:
    """A predictor whose predictions are kept in a folder."""

    def __init__(self, predictor: Predictor, folder: Path) -> None:
        self._predictor, self._folder = predictor, folder
        self._waiting: list[tuple[Pair, Prediction]] = []
        self._block = 0
        self._earlier = self._read()
        if n := len([*folder.glob("*.npz")]):
            logger.info("going on after %d pairs that were predicted before", n * BLOCK)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the predictor's."""
        return getattr(self._predictor, name)

    def predict(
        self, controls: GivenControls, perturbation: str, n_cells: int | None = None
    ) -> Prediction:
        """Return what was kept of the next pair, or predict and keep it."""
        pair = Pair(controls.line, perturbation)
        kept, prediction = next(self._earlier, (None, None))
        if kept is not None and kept != pair:
            raise ValueError(f"{self._folder}: {kept} was kept where {pair} is asked for")
        if prediction is None:
            prediction = self._predictor.predict(controls, perturbation, n_cells)
            self._waiting.append((pair, prediction))
        if len(self._waiting) == BLOCK:
            self._write()
        return prediction

    def _read(self) -> Iterator[tuple[Pair, Prediction]]:
        """Yield what is kept, block after block, for as long as there is one."""
        while (path := self._path()).is_file():
            with np.load(path, allow_pickle=False) as arrays:
                for number in range(BLOCK):
                    yield _restored(arrays, number)
            self._block += 1

    def _write(self) -> None:
        arrays = {
            f"{number}/{name}": values
            for number, (pair, prediction) in enumerate(self._waiting)
            for name, values in _arrays(pair, prediction).items()
        }
        with atomic(self._path()) as part, open(part, "wb") as file:
            np.savez(file, **arrays)
        self._waiting, self._block = [], self._block + 1

    def _path(self) -> Path:
        return self._folder / f"{self._block:05}.npz"


def _arrays(pair: Pair, prediction: Prediction) -> dict[str, np.ndarray]:
    """Return a prediction as arrays; a field that is None is left out."""
    fields = prediction._asdict()
    table = fields.pop(EVIDENCE)
    columns = {name: [_plain(x) for x in table[name]] for name in table}
    arrays = {"pair": np.array(pair), EVIDENCE: np.array(json.dumps(columns))}
    return arrays | {name: np.asarray(x) for name, x in fields.items() if x is not None}


def _restored(arrays: Mapping[str, np.ndarray], number: int) -> tuple[Pair, Prediction]:
    fields = {
        name: arrays[key] if (key := f"{number}/{name}") in arrays else None
        for name in Prediction._fields
    }
    fields[EVIDENCE] = pd.DataFrame(json.loads(str(fields[EVIDENCE])))
    return Pair(*arrays[f"{number}/pair"].tolist()), Prediction(**fields)


def _plain(value: Any) -> Any:
    """Return a number or text as JSON has it, every float with all of its digits."""
    return value.item() if isinstance(value, np.generic) else value
