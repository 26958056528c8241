"""Providers of perturbation vectors, and the negative controls made from them."""

import gzip
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import PERTURBATION
from ptrag.base.random import one_cycle
from ptrag.genes.coverage import cover
from ptrag.genes.embeddings import Embedding
from ptrag.genes.genept import load_genept
from ptrag.genes.symbols import Symbols
from ptrag.genes.text import encode_texts
from ptrag.genes.words import tidy

logger = logging.getLogger("ptrag")


class Vocabulary(NamedTuple):
    """The names that a provider knows, and the (n, E) vectors of any n of them."""

    names: Set[str]
    vectors: Callable[[list[str]], np.ndarray]


def embed(
    provider: str,
    perturbations: Sequence[str],
    settings: Mapping[str, Any],
    source: str | Path | None = None,
) -> Embedding:
    """Give perturbations their vectors.

    Parameters
    ----------
    provider
        ``genept`` (1,536 dimensions), ``text`` (384, a sentence encoder on full
        name and GO terms, no network) or ``table`` (the user's own).
    perturbations
        Names, doubles as ``A+B``.
    settings
        The section ``embeddings`` of the configuration.
    source
        File that the provider reads: the GenePT archive or pickle, the gene
        texts, the table; by default those named in ``settings``.

    Returns
    -------
    embedding
        In the order of ``perturbations``, dropped ones left out; every one of
        them is in ``coverage``.

    Raises
    ------
    PtragError
        For an unknown provider, a file that is not what it should be, or
        perturbations without a vector (see :func:`ptrag.genes.coverage.cover`).
    """
    vocabulary = open_provider(provider, settings, source)
    symbols = Symbols.read(settings["text"]["gene_text"])
    recipes, coverage = cover(
        perturbations, vocabulary.names, symbols, settings["missing"], provider
    )
    needed = sorted({name for parts in recipes.values() for names in parts for name in names})
    logger.info("%s: %d names for %d perturbations", provider, len(needed), len(recipes))
    levels = coverage["level"].value_counts()
    logger.info("%s: %s", provider, ", ".join(f"{n} {level}" for level, n in levels.items()))
    return Embedding(list(recipes), averaged(recipes, needed, vocabulary), coverage)


def open_provider(
    provider: str, settings: Mapping[str, Any], source: str | Path | None = None
) -> Vocabulary:
    """Return what a provider knows; the parameters are those of :func:`embed`.

    Raises
    ------
    PtragError
        For an unknown provider, or a file that is not what it should be.
    """
    if provider not in _OPEN:
        raise PtragError(f"embedding: no provider {provider!r}; {did_you_mean(provider, _OPEN)}")
    return _OPEN[provider](settings, source)


def averaged(
    recipes: Mapping[str, list[list[str]]], needed: list[str], vocabulary: Vocabulary
) -> np.ndarray:
    """Return the (n, E) float32 vectors of what :func:`ptrag.genes.coverage.cover` gave.

    Parameters
    ----------
    recipes
        {perturbation: for each part the names to average}.
    needed
        All names in them.
    vocabulary
        Where their vectors are.
    """
    row = {name: i for i, name in enumerate(needed)}
    vectors = vocabulary.vectors(needed).astype(np.float64)
    mixed = [
        np.mean([vectors[[row[name] for name in names]].mean(axis=0) for names in parts], axis=0)
        for parts in recipes.values()
    ]
    return np.array(mixed, dtype=np.float32)


def derive_control(embedding: Embedding, kind: str, seed: int = 0) -> Embedding:
    """Make a negative control: the same names and norms, without the content.

    Parameters
    ----------
    embedding
        The embedding to destroy.
    kind
        ``random``: Gaussian directions, each row's norm kept. ``shuffled``: rows
        permuted in one cycle, so that no perturbation keeps its own vector.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    coverage = embedding.coverage.copy()
    if kind == "random":
        vectors = rng.standard_normal(embedding.vectors.shape)
        norms = np.linalg.norm(embedding.vectors.astype(np.float64), axis=1, keepdims=True)
        vectors *= norms / np.linalg.norm(vectors, axis=1, keepdims=True)
        details = dict.fromkeys(embedding.names, "random direction")
    elif kind == "shuffled":
        giver = one_cycle(rng, np.arange(len(embedding.names)))
        vectors = embedding.vectors[giver]
        details = {
            name: f"vector of {embedding.names[i]}"
            for name, i in zip(embedding.names, giver, strict=True)
        }
    else:
        raise PtragError(
            f"embedding: no negative control {kind!r}; {did_you_mean(kind, ['random', 'shuffled'])}"
        )
    held = coverage[PERTURBATION].isin(embedding.names)
    coverage.loc[held, "detail"] = coverage[PERTURBATION][held].map(details)
    return Embedding(list(embedding.names), vectors.astype(np.float32), coverage)


def _open_genept(settings: Mapping[str, Any], source: str | Path | None) -> Vocabulary:
    options = settings["genept"]
    if source is None:
        raise PtragError("embeddings.genept: give the archive that fetch_genept downloads")
    table = load_genept(source, options["member"], options["member_sha256"])
    return Vocabulary(table.keys(), lambda names: np.array([table[name] for name in names]))


def _open_text(settings: Mapping[str, Any], source: str | Path | None) -> Vocabulary:
    genes = Symbols.read(source or settings["text"]["gene_text"]).genes
    names = {symbol for symbol, gene in genes.items() if gene.name}
    return Vocabulary(names, lambda names: encode_texts([genes[name].text for name in names]))


def _open_table(settings: Mapping[str, Any], source: str | Path | None) -> Vocabulary:
    path = source or settings["table"]["path"]
    if not path or not Path(path).is_file():
        raise PtragError(f"embeddings.table.path: no file {path}; give a .tsv or .csv")
    table = _read_vectors(Path(path))
    return Vocabulary(set(table.index), lambda names: table.loc[names].to_numpy())


def _read_vectors(path: Path) -> pd.DataFrame:
    separator = _separator(path)
    try:
        with warnings.catch_warnings():
            # pandas only warns of rows that are longer than the header, and cuts them.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            raw = pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                encoding="utf-8-sig",
            )
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise PtragError(
            f"{path}: not a table with one row per symbol and equally many dimensions "
            f"({str(error).strip()})"
        ) from None
    if raw.shape[1] < 2:
        raise PtragError(f"{path}: has one column; expected the symbol, then the dimensions")
    raw = raw.set_index(raw[raw.columns[0]].map(tidy)).drop(columns=raw.columns[0])
    if raw.index.has_duplicates:
        raise PtragError(f"{path}: {raw.index[raw.index.duplicated()][0]!r} has two rows; keep one")
    if separator == ";":  # where the comma is the decimal sign
        raw = raw.apply(lambda column: column.str.replace(",", ".", regex=False))
    numbers = raw.apply(pd.to_numeric, errors="coerce")
    if (bad := numbers.isna()).to_numpy().any():
        name = numbers.index[bad.any(axis=1)][0]
        column = numbers.columns[bad.loc[name]][0]
        raise PtragError(
            f"{path}: {name!r}, column {column!r}: {raw.loc[name, column]!r} is not a number"
        )
    return numbers


def _separator(path: Path) -> str:
    """Return what separates the columns of a table: the most frequent sign of its first line."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as handle:
            header = handle.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise PtragError(f"{path}: cannot be read as a table ({error}); save it as .tsv") from None
    return max("\t;,", key=header.count)


_OPEN: dict[str, Callable[[Mapping[str, Any], str | Path | None], Vocabulary]] = {
    "genept": _open_genept,
    "text": _open_text,
    "table": _open_table,
}
