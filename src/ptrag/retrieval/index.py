"""Stage one: the K nearest perturbations of every perturbation, by text alone.

Only perturbations with a training pair are indexed, L2-normalised, in an exact
inner-product index, so that similarity is the cosine. The neighbours depend on
the perturbation alone and are computed once per split and embedding.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, read_table, write_json, write_table
from ptrag.base.names import CONTROL, PERTURBATION
from ptrag.genes.embeddings import Embedding
from ptrag.splits.leakage import audit_index
from ptrag.splits.protocols import Split

logger = logging.getLogger("ptrag")


@dataclass(frozen=True)
class Neighbours:
    """Candidates of every perturbation, best first.

    Attributes
    ----------
    names
        The P perturbations that can be queried.
    table
        perturbation, rank (from 1), neighbour, similarity (cosine).
    k
        Candidates per perturbation, the same for all.
    """

    names: list[str]
    table: pd.DataFrame
    k: int

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __contains__(self, perturbation: str) -> bool:
        return perturbation in self._number

    def candidates(self, perturbation: str) -> tuple[list[str], np.ndarray]:
        """Return the (k,) neighbours of one perturbation and their (k,) similarities."""
        if perturbation not in self:
            raise PtragError(f"neighbours: {perturbation!r} was not embedded; see coverage.tsv")
        at = self._number[perturbation] * self.k
        rows = self.table.iloc[at : at + self.k]
        return list(rows["neighbour"]), rows["similarity"].to_numpy()

    def nearest(self, perturbation: str, k: int) -> tuple[list[str], np.ndarray]:
        """Return the first ``k`` of :meth:`candidates`; none of a perturbation without a vector."""
        if perturbation not in self:
            return [], np.zeros(0)
        names, similarity = self.candidates(perturbation)
        return names[:k], similarity[:k]


def build_index(embedding: Embedding, split: Split, k: int, out_dir: str | Path) -> None:
    """Index the training perturbations and write each perturbation's neighbours.

    Writes ``index.faiss``, ``keys.tsv`` (row, perturbation), ``neighbours.tsv``
    (perturbation, rank, neighbour, similarity; for every embedded perturbation
    of the split, val and test ones too) and ``audit.json``. A perturbation is
    never its own neighbour, equal similarities are ranked by key, and every
    query gets the same number of neighbours, at most ``k``.

    Raises
    ------
    PtragError
        Where nothing can be indexed, or the audit finds a leak.
    """
    out_dir = Path(out_dir)
    in_split = set(split.table[PERTURBATION]) - {CONTROL}
    queries = sorted(in_split & set(embedding.names))
    allowed = set(split.perturbations("train")) - split.held_out_perturbations
    keys = [name for name in queries if name in allowed]
    if len(keys) < 2:
        raise PtragError(
            f"index: {len(keys)} of {len(allowed)} training perturbations have a vector, "
            "retrieval needs two; check the embedding against the data's perturbation names"
        )
    missing = sorted(in_split - set(embedding.names))
    if missing:
        logger.info("index: %d perturbations have no vector: %s", len(missing), missing[:8])
    k = min(k, len(keys) - 1)
    unit = _unit(embedding.vectors[embedding.rows(keys)])
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    table = _neighbours(index, keys, queries, embedding, k)

    handed = zip(table[PERTURBATION], table["neighbour"], strict=True)
    report = audit_index(split, keys, embedding, handed) | {"k": k, "without_vector": missing}
    with atomic(out_dir / "index.faiss") as part:
        faiss.write_index(index, str(part))
    write_table(pd.DataFrame({"row": range(len(keys)), PERTURBATION: keys}), out_dir / "keys.tsv")
    write_table(table, out_dir / "neighbours.tsv")
    write_json(report, out_dir / "audit.json")


def read_neighbours(out_dir: str | Path) -> Neighbours:
    """Read the neighbours that :func:`build_index` wrote."""
    text = {PERTURBATION: str, "neighbour": str}
    table = read_table(Path(out_dir) / "neighbours.tsv", dtype=text)
    return Neighbours(list(table[PERTURBATION].drop_duplicates()), table, int(table["rank"].max()))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(n, E) rows scaled to length one in float64, then float32."""
    wide = vectors.astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


def _neighbours(
    index: faiss.IndexFlatIP, keys: list[str], queries: list[str], embedding: Embedding, k: int
) -> pd.DataFrame:
    # The whole index is ranked (it has a few thousand rows at most), so that a tie
    # at the cut is broken by key and not by the order of faiss's heap. Float32
    # products of equal vectors differ in the last digits, hence six decimals.
    xq = _unit(embedding.vectors[embedding.rows(queries)])
    D, I = index.search(xq, len(keys))  # noqa: E741
    D = np.round(D.astype(np.float64), 6)
    rows = []
    for query, similarity, nearest in zip(queries, D, I, strict=True):
        ranked = [j for j in np.lexsort((nearest, -similarity)) if keys[nearest[j]] != query]
        for rank, j in enumerate(ranked[:k], start=1):
            rows.append((query, rank, keys[nearest[j]], similarity[j]))
    return pd.DataFrame(rows, columns=[PERTURBATION, "rank", "neighbour", "similarity"])
