"""Vectors of any gene: those that a bundle was made with, and new ones by the same provider.

A new gene is embedded by itself, so that its vector has the same bits whichever genes are asked
for with it. The negative controls have no truth to embed: ``shuffled`` gives a new gene the vector
of one of the bundle's perturbations, ``random`` a direction, both drawn by the gene's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.random import keyed_rng
from ptrag.genes.coverage import cover
from ptrag.genes.embeddings import COVERAGE, Embedding
from ptrag.genes.providers import Vocabulary, averaged, open_provider
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.genes.vectors import NEW_GENES, Provider

AGREES = 0.9999  # cosine of one gene's vector here and in the bundle, at least


@dataclass(frozen=True)
class AnyGene:
    """The vectors of a bundle's perturbations, and of any other.

    Attributes
    ----------
    known
        Those that the bundle was made with.
    provider
        Where others come from; None: there are no others.
    """

    known: Embedding
    provider: Provider | None

    def embed(self, names: Sequence[str]) -> Embedding:
        """Return the vectors of perturbations; those that cannot have one are left out.

        Parameters
        ----------
        names
            Current symbols, doubles as ``A+B``.

        Raises
        ------
        PtragError
            If the provider gives other vectors here than where the bundle was made.
        """
        old = [name for name in names if name in self._row]
        vectors = {name: self.known.vectors[self._row[name]] for name in old}
        rows = [(name, "bundle", "") for name in old]
        new = [name for name in names if name not in vectors]
        for vector_of, coverage in map(self._new, new):
            vectors |= vector_of
            rows += coverage
        stacked = np.array(list(vectors.values()), np.float32)
        size = self.known.vectors.shape[1]
        return Embedding(
            list(vectors), stacked.reshape(-1, size), pd.DataFrame(rows, columns=COVERAGE)
        )

    def can_embed(self, name: str) -> bool:
        """Whether :meth:`embed` has a vector of a perturbation."""
        if name in self._row:
            return True
        if self.provider is None:
            return False
        return bool(self.provider.control or self._recipe(name)[0])

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.known.names)}

    def _new(self, name: str) -> tuple[dict[str, np.ndarray], list[tuple[str, str, str]]]:
        """Return the vector of a new name, if it can have one, and how it came about."""
        if self.provider is None:
            return {}, [(name, "dropped", "the bundle names no provider of vectors")]
        if self.provider.control:
            return {name: self._drawn(name)}, [(name, "drawn", NEW_GENES[self.provider.control])]
        recipes, coverage = self._recipe(name)
        needed = sorted({one for parts in recipes.values() for of in parts for one in of})
        rows = list(coverage[COVERAGE].itertuples(index=False, name=None))
        if not recipes:
            return {}, rows
        self._check_provider()
        return {name: averaged(recipes, needed, self._vocabulary)[0]}, rows

    def _recipe(self, name: str) -> tuple[dict[str, list[list[str]]], pd.DataFrame]:
        """Return whose vectors are averaged for a name (empty: it has none), and the coverage."""
        symbols, provider = Symbols.read(GENE_TEXT), self.provider
        known = self._vocabulary.names
        return cover([name], known, symbols, provider.missing, provider.name, need_one=False)

    def _drawn(self, name: str) -> np.ndarray:
        rng, vectors = keyed_rng("new gene", self.provider.control, name), self.known.vectors
        if self.provider.control == "shuffled":
            return vectors[rng.integers(len(vectors))]
        direction = rng.standard_normal(vectors.shape[1])
        length = np.linalg.norm(vectors.astype(np.float64), axis=1).mean()
        return (direction * length / np.linalg.norm(direction)).astype(np.float32)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        """What the provider knows, each name's vector worked out by itself."""
        provider = self.provider
        opened = open_provider(provider.name, provider.settings(), provider.source)

        def one_by_one(names: list[str]) -> np.ndarray:
            return np.concatenate([opened.vectors([name]) for name in names])

        return Vocabulary(opened.names, one_by_one)

    def _check_provider(self) -> None:
        """Refuse a provider that does not give a known gene the vector that the bundle has."""
        if self._agreement < AGREES:
            raise PtragError(
                f"embedding: the provider '{self.provider.name}' gives other vectors here than in "
                f"the bundle (cosine {self._agreement:.4f} for one gene), so that new genes would "
                "not fit its perturbations; install the encoder that the bundle was made with"
            )

    @cached_property
    def _agreement(self) -> float:
        """Cosine of one gene's vectors here and in the bundle; 1 where no gene can tell."""
        known = self._vocabulary.names
        probe = next((name for name in self.known.names if name in known), None)
        if probe is None:
            return 1.0
        ours = self._vocabulary.vectors([probe])[0].astype(np.float64)
        theirs = self.known.vectors[self._row[probe]].astype(np.float64)
        return float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs)))
