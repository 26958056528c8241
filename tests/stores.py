"""A store from expression in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ptrag.cells.store_writer import new_store


def write_store(
    path: str | Path, X: np.ndarray, obs: pd.DataFrame, genes: Sequence[str], **facts: Any
) -> None:
    """Write a store from expression in memory, ``X`` (n_cells, n_genes) on the log1p scale.

    Rows may come in any order; the other parameters are those of ``new_store``.
    """
    if np.shape(X) != (len(obs), len(genes)):
        raise ValueError(f"X is {np.shape(X)}, obs and genes say {(len(obs), len(genes))}")
    with new_store(path, obs, genes, **facts) as writer:
        writer.write(0, np.asarray(X))
