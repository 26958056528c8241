"""A bundle: one folder that predicts by itself, any gene in any line.

========================  ==========================================================
``bundle.json``           arm, options, genes, scale, provider of vectors, hash of every file
``lines.npz``             given control profiles of its lines, what was measured in them
``fitted/PROTOCOL.npz``   the fitted closed form or expert; nothing is fitted again
``weights.safetensors``   weights of a network, the frozen ones too
``embedding.h5ad``        vectors of the perturbations it was made with
``index/``                index and neighbours, for networks that retrieve
``provider/``             the file that any other gene's vector comes from
========================  ==========================================================
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptrag import __version__
from ptrag.arms.registry import REASSIGNED, load_arm, negative_control
from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, link_or_copy, sha256, share_as_others, write_json
from ptrag.base.moments import moments
from ptrag.base.random import keyed_rng
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding, write_embedding
from ptrag.genes.names import Names
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.genes.vectors import Provider
from ptrag.prediction.lines import Lines
from ptrag.retrieval.nearest import Keys

if TYPE_CHECKING:
    from ptrag.genes.any_gene import AnyGene
    from ptrag.prediction.prediction import Predictor

FORMAT = 2
LINKED = "genept"  # half a gigabyte as published: one file for all bundles of a disk
EMBEDDING, LINES, WEIGHTS = "embedding.h5ad", "lines.npz", "weights.safetensors"


@dataclass
class Bundle:
    """What predicts, with all that it needs to know of genes and lines.

    Attributes
    ----------
    about
        Content of ``bundle.json``.
    predictor
        The fitted arm.
    lines
        What it was made on.
    embedding
        Vectors of the perturbations it was made with; None for arms that read none.
    any_gene
        Vectors of others; None where there are none.
    """

    about: dict[str, Any]
    predictor: "Predictor"
    lines: Lines
    embedding: Embedding | None = None
    any_gene: "AnyGene | None" = None
    _learnt: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @property
    def genes(self) -> list[str]:
        """Symbols of the genes whose expression is predicted."""
        return self.about["genes"]

    @property
    def facts(self) -> dict[str, Any]:
        """What every file of predictions says of where it comes from."""
        keys = ("arm", "seed", "scale", "simulated")
        return {key: self.about[key] for key in keys} | {
            "checkpoint": self.about.get("checkpoint", "")
        }

    @cached_property
    def known_perturbations(self) -> list[str]:
        """Perturbations of the screen that it was made with, held-out ones too, sorted."""
        return sorted({*self._row, *self.about["perturbations"]})

    def informed(self, perturbation: str) -> bool:
        """Whether there is more to say of a perturbation than the mean of the line."""
        return self.predictor.informed(perturbation) or (
            self.any_gene is not None and self.any_gene.can_embed(perturbation)
        )

    def with_line(self, line: str, controls: np.ndarray) -> "Bundle":
        """Return the bundle with one more line, of which (n, G) control cells are known."""
        if line in self.lines.names:
            return self
        mean, variance, n = moments(controls)
        predictor = self.predictor.with_line(line, mean, np.sqrt(variance / n))
        return replace(self, predictor=predictor)

    def meet(self, perturbations: Sequence[str]) -> None:
        """Give the predictor vectors and candidates of perturbations that it has none of.

        What was met by an earlier call is forgotten, so that memory does not grow with their
        number. A perturbation's prediction does not depend on which others are met with it.
        """
        if self.any_gene is None:
            return
        new = [name for name in dict.fromkeys(perturbations) if name not in self._row]
        vectors = self.any_gene.embed(new)
        self._learnt = dict(zip(vectors.names, vectors.vectors, strict=True))
        candidates = {}
        if k := self.about.get("candidates"):
            candidates = {
                name: self._candidates(name, vector, k) for name, vector in self._learnt.items()
            }
        self.predictor.learn(vectors, candidates)

    def nearest(self, perturbation: str) -> tuple[str | None, float | None]:
        """Return the measured perturbation nearest by text, itself apart, and the cosine."""
        vector = self._learnt.get(perturbation)
        if vector is None and perturbation in self._row:
            vector = self.embedding.vectors[self._row[perturbation]]
        if vector is None or self._keys is None:
            return None, None
        names, similarity = self._near(perturbation, vector, 1)
        return (names[0], float(similarity[0])) if names else (None, None)

    def _candidates(self, name: str, vector: np.ndarray, k: int) -> tuple[list[str], np.ndarray]:
        """Return the candidates of a new perturbation: the k nearest.

        Where they are reassigned, those of one of the bundle's, drawn by the name.
        """
        if negative_control(self.about["arm"]) != REASSIGNED:
            return self._near(name, vector, k)
        giver = keyed_rng("reassigned candidates", name).choice(self.embedding.names)
        return self._near(name, self.embedding.vectors[self._row[giver]], k, giver)

    def _near(
        self, name: str, vector: np.ndarray, k: int, apart_from: str | None = None
    ) -> tuple[list[str], np.ndarray]:
        """Return the k nearest trained perturbations that are not the same gene by any name."""
        own, own_genes = self._names.identity(name), self._names.possible_genes(name)

        def is_same(key: str) -> bool:
            if key == apart_from or self._names.identity(key) == own:
                return True
            single = "+" not in key and "+" not in name
            return single and bool(own_genes & self._names.possible_genes(key))

        return self._keys.nearest(vector, k, is_same)

    @cached_property
    def _row(self) -> dict[str, int]:
        names = self.embedding.names if self.embedding is not None else []
        return {name: row for row, name in enumerate(names)}

    @cached_property
    def _names(self) -> Names:
        return Names(Symbols.read(GENE_TEXT))

    @cached_property
    def _keys(self) -> Keys | None:
        """The trained perturbations that have a vector."""
        names = [name for name in self.lines.perturbations if name in self._row]
        return Keys(self.embedding, names) if names else None


def facts_of(
    store: CellStore, arm: str, options: Mapping[str, Any], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """Return what ``bundle.json`` says of any arm that was made from a store."""
    facts = {
        "arm": arm, "seed": 0, "options": dict(options), "genes": store.genes,
        "perturbations": store.perturbations, "scale": store.scale,
        "simulated": store.simulated, "hashes": dict(hashes),
    }  # fmt: skip
    if options.get("rag"):
        facts["candidates"] = options["topk_rag"]
    return facts


def facts_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of ``bundle.json``, its own digest left out."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def refuse_other_folder(folder: Path) -> None:
    """Refuse to replace a folder that is no bundle.

    Raises
    ------
    PtragError
        If it holds anything and no ``bundle.json``.
    """
    if folder.is_file() or (
        folder.is_dir() and any(folder.iterdir()) and not (folder / "bundle.json").is_file()
    ):
        raise PtragError(f"{folder}: is there and is no bundle; name a new folder")


def write_closed_form(bundle: Bundle, folder: str | Path, provider: Provider | None) -> None:
    """Write the bundle of a closed form; the parameters are those of :func:`write_bundle`."""
    write = load_arm(bundle.about["arm"]).write
    files = {
        f"fitted/{protocol}.npz": lambda path, fitted=fitted: write(fitted, path)
        for protocol, fitted in bundle.predictor.fits.items()
    }
    write_bundle(folder, bundle.about, bundle.lines, files, bundle.embedding, provider)


def write_bundle(
    folder: str | Path,
    about: Mapping[str, Any],
    lines: Lines,
    files: Mapping[str, Callable[[Path], None]],
    embedding: Embedding | None = None,
    provider: Provider | None = None,
    index: str | Path | None = None,
) -> None:
    """Write a bundle; the folder appears whole or not at all.

    Parameters
    ----------
    folder
        The bundle; replaced where it exists.
    about
        :func:`facts_of`, and what else is to be known of the arm.
    lines
        What it was made on.
    files
        {name of a file in the folder: what writes it}.
    embedding
        Vectors of perturbations, where the arm uses them.
    provider
        Where those of other genes come from; None: the bundle predicts no others.
    index
        The folder of the index to copy in, where the arm reads it.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with atomic(part / LINES) as path, open(path, "wb") as file:
        np.savez(file, **lines.arrays())
    for name, write in files.items():
        (part / name).parent.mkdir(exist_ok=True)
        write(part / name)
        share_as_others(part / name)
    content = dict(about) | {"format": FORMAT, "ptrag": __version__, "provider": None}
    if embedding is not None:
        write_embedding(embedding, part / EMBEDDING)
        content["provider"] = provider and provider.facts()
        if provider is not None and provider.control is None:
            (part / "provider").mkdir()
            keep = link_or_copy if provider.name == LINKED else shutil.copyfile
            keep(provider.source, part / "provider" / provider.source.name)
    if index is not None:
        shutil.copytree(index, part / "index", copy_function=shutil.copyfile)
    content["files"] = {
        path.relative_to(part).as_posix(): sha256(path)
        for path in sorted(part.rglob("*"))
        if path.is_file()
    }
    write_json(content | {"sha256": facts_digest(content)}, part / "bundle.json")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
