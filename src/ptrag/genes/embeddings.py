"""Embedding vectors of perturbations: the type, its checks, and its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, write_table
from ptrag.base.names import PERTURBATION

COVERAGE = [PERTURBATION, "level", "detail"]


@dataclass(frozen=True)
class Embedding:
    """One vector per perturbation.

    Attributes
    ----------
    names
        P perturbations, distinct.
    vectors
        (P, E) float32, finite, no row of zeros.
    coverage
        How each *requested* perturbation was found, dropped ones too:
        perturbation, level (exact | alias | parts | family | go | dropped), detail.
    """

    names: list[str]
    vectors: np.ndarray
    coverage: pd.DataFrame

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.names) != len(self.vectors):
            raise PtragError(
                f"embedding: {len(self.names)} names for vectors of shape {self.vectors.shape}; "
                "give one row per name"
            )
        if len(set(self.names)) < len(self.names):
            twice = pd.Index(self.names)
            raise PtragError(
                f"embedding: {twice[twice.duplicated()][0]!r} occurs twice; give one row per name"
            )
        finite = np.isfinite(self.vectors).all(axis=1)
        if not finite.all():
            name = self.names[int(np.flatnonzero(~finite)[0])]
            raise PtragError(f"embedding: the vector of {name!r} is not finite; mend or remove it")
        if not (zero := self.vectors.any(axis=1)).all():
            name = self.names[int(np.flatnonzero(~zero)[0])]
            raise PtragError(f"embedding: the vector of {name!r} is all zeros; remove the row")

    def rows(self, perturbations: Sequence[str]) -> np.ndarray:
        """Return the (n,) row numbers of ``perturbations``; a missing one is an error."""
        row = {name: i for i, name in enumerate(self.names)}
        for name in perturbations:
            if name not in row:
                raise PtragError(
                    f"embedding: no vector for {name!r}; see coverage.tsv and embeddings.missing"
                )
        return np.array([row[name] for name in perturbations], dtype=np.int64)


def write_embedding(
    embedding: Embedding, h5ad: str | Path, coverage_tsv: str | Path | None = None
) -> None:
    """Write an embedding: obs = perturbation, X = vectors, uns = coverage; and its table."""
    data = anndata.AnnData(
        X=np.ascontiguousarray(embedding.vectors, dtype=np.float32),
        obs=pd.DataFrame(index=pd.Index(embedding.names, name=PERTURBATION)),
        uns={"coverage": embedding.coverage[COVERAGE].astype(str).reset_index(drop=True)},
    )
    with atomic(h5ad) as part:
        data.write_h5ad(part)
    if coverage_tsv is not None:
        write_table(embedding.coverage[COVERAGE], coverage_tsv)


def read_embedding(path: str | Path) -> Embedding:
    """Read what :func:`write_embedding` wrote."""
    data = anndata.read_h5ad(path)
    coverage = pd.DataFrame(data.uns["coverage"])[COVERAGE].astype(str).reset_index(drop=True)
    return Embedding(list(data.obs_names), np.asarray(data.X, dtype=np.float32), coverage)
