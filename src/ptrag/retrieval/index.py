"""Stage one: the K nearest perturbations of every perturbation, by text alone.

Only perturbations with a training pair are indexed, L2-normalised, in an exact
inner-product index, so that similarity is the cosine. The neighbours depend on
the perturbation alone and are computed once per split and embedding.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, read_table, write_json, write_table
from ptrag.base.names import CONTROL, PERTURBATION
from ptrag.base.random import keyed_rng, one_cycle
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.nearest import Keys
from ptrag.splits.leakage import audit_index
from ptrag.splits.protocols import Split

COLUMNS = (PERTURBATION, "rank", "neighbour", "similarity")
"""Columns of a table of neighbours."""

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
    _learnt: dict[str, tuple[list[str], np.ndarray]] = field(default_factory=dict, repr=False)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __contains__(self, perturbation: str) -> bool:
        return perturbation in self._number or perturbation in self._learnt

    def learn(self, candidates: Mapping[str, tuple[list[str], np.ndarray]]) -> None:
        """Take in the candidates of perturbations that were not queried; earlier ones are dropped.

        Parameters
        ----------
        candidates
            {perturbation: (at most k neighbours, their similarities), best first}.
        """
        self._learnt.clear()
        self._learnt.update(candidates)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name; :meth:`of_arrays` undoes it."""
        text = {key: self.table[key].to_numpy(dtype=str) for key in (PERTURBATION, "neighbour")}
        numbers = {key: self.table[key].to_numpy() for key in ("rank", "similarity")}
        return text | numbers | {"names": np.array(self.names, dtype=str), "k": np.array(self.k)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Neighbours":
        """Return the neighbours of :meth:`arrays`; a missing name is a KeyError."""
        table = pd.DataFrame({key: arrays[key] for key in COLUMNS})
        return cls(arrays["names"].tolist(), table, int(arrays["k"]))

    def candidates(self, perturbation: str) -> tuple[list[str], np.ndarray]:
        """Return the (k,) neighbours of one perturbation and their (k,) similarities."""
        if perturbation in self._learnt:
            return self._learnt[perturbation]
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


def build_index(
    embedding: Embedding, split: Split, k: int, out_dir: str | Path, reassigned: bool = False
) -> None:
    """Index the training perturbations and write each perturbation's neighbours.

    Writes ``index.faiss``, ``keys.tsv`` (row, perturbation), ``neighbours.tsv``
    (perturbation, rank, neighbour, similarity; for every embedded perturbation
    of the split, val and test ones too) and ``audit.json``. A perturbation is
    never its own neighbour, equal similarities are ranked by key, and every
    query gets the same number of neighbours, at most ``k``.

    Where candidates are ``reassigned``, a negative control, every perturbation gets the neighbours
    of another one, with the other's similarities; neither is among them.

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
    apart = 1 + reassigned  # keys that a query does not get: itself, and its giver
    if len(keys) <= apart:
        raise PtragError(
            f"index: {len(keys)} of {len(allowed)} training perturbations have a vector, retrieval "
            f"needs {apart + 1}; check the embedding against the data's perturbation names"
        )
    missing = sorted(in_split - set(embedding.names))
    if missing:
        logger.info("index: %d perturbations have no vector: %s", len(missing), missing[:8])
    k = min(k, len(keys) - apart)
    indexed = Keys(embedding, keys)
    givers = queries
    if reassigned:
        givers = list(one_cycle(keyed_rng("reassigned candidates"), np.array(queries, object)))
    table = _neighbours(indexed, queries, givers, embedding, k)

    handed = zip(table[PERTURBATION], table["neighbour"], strict=True)
    report = audit_index(split, keys, embedding, handed) | {"k": k, "without_vector": missing}
    with atomic(out_dir / "index.faiss") as part:
        faiss.write_index(indexed.index, str(part))
    write_table(pd.DataFrame({"row": range(len(keys)), PERTURBATION: keys}), out_dir / "keys.tsv")
    write_table(table, out_dir / "neighbours.tsv")
    write_json(report, out_dir / "audit.json")


def read_neighbours(out_dir: str | Path) -> Neighbours:
    """Read the neighbours that :func:`build_index` wrote."""
    text = {PERTURBATION: str, "neighbour": str}
    table = read_table(Path(out_dir) / "neighbours.tsv", dtype=text)
    return Neighbours(list(table[PERTURBATION].drop_duplicates()), table, int(table["rank"].max()))


def find_neighbours(embedding: Embedding, keys: Sequence[str], k: int) -> Neighbours:
    """Return the ``k`` nearest keys of every embedded perturbation, as an index has them.

    Parameters
    ----------
    embedding
        Vectors.
    keys
        Perturbations that may be candidates, at least two.
    k
        Neighbours; one less than there are keys at most.
    """
    k = min(k, len(keys) - 1)
    names = sorted(embedding.names)
    table = _neighbours(Keys(embedding, sorted(keys)), names, names, embedding, k)
    return Neighbours(names, table, k)


def _neighbours(
    indexed: Keys, queries: list[str], givers: list[str], embedding: Embedding, k: int
) -> pd.DataFrame:
    """Return the first k neighbours of each query's giver: of itself, where it is the same."""
    numbers, similarity = indexed.ranked(embedding.vectors[embedding.rows(givers)])
    rows = []
    for query, giver, ranked, near in zip(queries, givers, numbers, similarity, strict=True):
        others = [j for j, key in enumerate(ranked) if indexed.names[key] not in (query, giver)]
        for rank, j in enumerate(others[:k], start=1):
            rows.append((query, rank, indexed.names[ranked[j]], near[j]))
    return pd.DataFrame(rows, columns=[*COLUMNS])
