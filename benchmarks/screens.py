"""Screens for the contest: training responses, and what the test pairs did.

Three sources: data sets of ``config.yaml``, simulated ones drawn anew for each seed; the semi-real
development screen, whose truth is known (which genes move in which line is real, sizes and cells
are simulated); and the real responses of drugs as ranks, profiles without cells, texts or errors.
What the last two hold, for people who do not have these files: docs/results.md.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import read_h5ad
from scipy.stats import norm

from ptrag.arms.registry import (
    EMBEDDING_CONTROLS,
    REASSIGNED,
    embedding_control,
    negative_control,
)
from ptrag.base.names import N_CELLS, PAIR, PERTURBATION, REASON, ROLE, Pair
from ptrag.cells.preprocess import build_cells
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.config import merge
from ptrag.genes.embeddings import Embedding, write_embedding
from ptrag.genes.providers import derive_control, embed
from ptrag.genes.symbols import GENE_TEXT, Symbols
from ptrag.retrieval.index import Neighbours, build_index, read_neighbours
from ptrag.simulate.screen import simulate_screen
from ptrag.splits.protocols import Split, draw_split, read_split, write_split

LINES = ("k562", "rpe1", "hepg2", "jurkat")
N_SEMIREAL = 240  # perturbations of the semi-real screen
HELD = {"val": 0.0, "test": 64 / N_SEMIREAL}
SEMIREAL = {
    "file": "semireal_dev.h5ad",
    "columns": {"perturbation": "gene", "cell_line": "cell_line", "batch": "gem_group"},
    "control": "non-targeting",
    "scale": "counts",
    "splits": {
        line: {"protocol": "unseen_combination", "target": line, "fractions": HELD}
        for line in LINES
    }
    | {"genes": {"protocol": "unseen_perturbation", "fractions": HELD}},
    "settings": {"cells": {"genes": "given"}},
}  # fmt: skip
WHOLE_LINES = {
    f"{line}_line": {"protocol": "unseen_line", "target": line, "fractions": {"val": 0.0}}
    for line in LINES
}
PROTOCOLS = {
    "demo": WHOLE_LINES,
    "semireal_dev": WHOLE_LINES,
    "norman_mcfaline": {
        "a172_line": {"protocol": "unseen_line", "target": "A172", "fractions": {"val": 0.0}},
        "u87_line": {"protocol": "unseen_line", "target": "U87MG", "fractions": {"val": 0.0}},
        "doubles": {"protocol": "unseen_double", "fractions": {"val": 0.0, "test": 0.5}},
    },
}  # splits that the contest adds to those of a data set
DRUG_GENES = 1000  # drawn anew for each seed
DRUGS_HELD = 45

Deltas = Mapping[Pair, np.ndarray]


@dataclass(frozen=True)
class Screen:
    """One split of one draw.

    Attributes
    ----------
    case, split, seed
        What it is: data set with knob, split, draw.
    responses
        Measured on the training pairs.
    embeddings, neighbours
        {None: true ones, ``shuffled``, ``random``: their negative controls}; of neighbours
        ``reassigned``, too.
    pairs
        The n test pairs.
    store, drawn
        The cells and the roles of their pairs; None where there are profiles alone.
    profiles
        (n, G) the means of the test pairs' cells.
    observed
        (n, G) their profiles less the yardstick controls.
    truth
        (n, G) their noise-free deltas; None where they are not known.
    truth_file
        The truth of a simulated screen.
    folder
        ``cells.h5ad``, ``split.tsv``, vectors and indices, as a training reads them, until the next
        split is drawn; None for responses without cells.
    """

    case: str
    split: str
    seed: int
    responses: Responses
    embeddings: Mapping[str | None, Embedding]
    neighbours: Mapping[str | None, Neighbours]
    pairs: Sequence[Pair]
    store: CellStore | None
    drawn: Split | None
    profiles: np.ndarray
    observed: np.ndarray
    truth: np.ndarray | None
    truth_file: Path | None = None
    folder: Path | None = None

    def read_by(self, arm: str) -> tuple[Embedding, Neighbours]:
        """Return the vectors and the neighbours that an arm or a negative control reads."""
        return self.embeddings[embedding_control(arm)], self.neighbours[_retrieves(arm)]

    def vectors_file(self, arm: str) -> Path:
        """Return the file of the vectors that an arm reads."""
        return self.folder / _vectors_name(embedding_control(arm))

    def index_folder(self, arm: str) -> Path:
        """Return the folder of the index that an arm reads."""
        return self.folder / _index_name(_retrieves(arm))


def _retrieves(arm: str) -> str | None:
    """Return whose neighbours an arm reads, a key of :attr:`Screen.neighbours`."""
    reassigned = negative_control(arm) == REASSIGNED
    return REASSIGNED if reassigned else embedding_control(arm)


def _vectors_name(kind: str | None) -> str:
    return "vectors.h5ad" if kind is None else f"vectors@{kind}.h5ad"


def _index_name(kind: str | None) -> str:
    return "index" if kind is None else f"index@{kind}"


def case_of(name: str, text_signal: float | None) -> str:
    """Return what a data set is called with its knob."""
    return name if text_signal is None else f"{name} text {text_signal:g}"


def screens_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark on screens asks for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "datasets", nargs="+", metavar="DATASET",
        help="of the configuration, or semireal_dev, op3_drugs_ranks (docs/results.md)",
    )  # fmt: skip
    parser.add_argument(
        "--config", default="config.yaml", help="configuration (default: %(default)s)"
    )
    parser.add_argument(
        "--data-dir", type=Path, default="data",
        help="folder with the files of data sets that are not simulated (default: %(default)s)",
    )  # fmt: skip
    return parser


def screens(
    config: dict[str, Any], name: str, seed: int, text_signal: float | None, data_dir: Path,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Screen]:  # fmt: skip
    """Yield every split of one draw of a data set; files of a screen last until the next.

    ``semireal_dev`` may be among the data sets of the configuration, with splits of its own. The
    splits of ``more``, by name, come after them.
    """
    with tempfile.TemporaryDirectory() as folder:
        if name == "op3_drugs_ranks":
            yield from _drugs(data_dir / "op3_drugs_ranks.npz", config, seed, Path(folder))
            return
        datasets = {"semireal_dev": SEMIREAL} | config["datasets"]
        entry = datasets[name] | {"splits": datasets[name]["splits"] | (more or {})}
        yield from _of_cells(config, name, entry, seed, text_signal, data_dir, Path(folder))


def _of_cells(
    config: dict[str, Any], name: str, entry: dict[str, Any], seed: int,
    text_signal: float | None, data_dir: Path, work: Path,
) -> Iterator[Screen]:  # fmt: skip
    settings = merge(config, entry.get("settings", {}))
    source, truth_file, case = data_dir / entry.get("file", ""), None, case_of(name, text_signal)
    if text_signal is not None:
        source, truth_file = work / "source.h5ad", work / "truth.h5ad"
        knobs = entry["simulate"] | {"seed": seed, "text_signal": text_signal}
        simulate_screen(knobs, source, truth_file)
    build_cells(source, entry, settings["cells"], work / "cells.h5ad")
    store = CellStore(work / "cells.h5ad")
    truth = _truth(source, truth_file, store)
    embeddings = _with_controls(embed("text", store.perturbations, settings["embeddings"]), seed)
    for kind, embedding in embeddings.items():
        write_embedding(embedding, work / _vectors_name(kind))
    for split_name, spec in entry["splits"].items():
        table = draw_split(store, spec | {"seed": seed}, settings["cells"], split_name)
        write_split(table, spec, work / "split.tsv")
        split = read_split(work / "split.tsv")
        pairs = [Pair(*pair) for pair in split.pairs("test")]
        profiles = np.array([store.mean(*pair) for pair in pairs])
        yield Screen(
            case, split_name, seed, Responses.measured(store, split), embeddings,
            _neighbours(embeddings, split, settings, work), pairs, store, split, profiles,
            np.array([store.observed_delta(*pair) for pair in pairs]),
            np.array([truth[p] for p in pairs]) if truth else None, truth_file, work,
        )  # fmt: skip


def _truth(source: Path, truth_file: Path | None, store: CellStore) -> Deltas | None:
    """Return the noise-free delta of every pair, of the store's genes, where it is known."""
    if truth_file:
        data = read_h5ad(truth_file)
        columns = data.var_names.get_indexer(store.genes)
        pairs = [Pair(*map(str, pair)) for pair in data.obs[PAIR].to_numpy()]
        return dict(zip(pairs, np.asarray(data.X, float)[:, columns], strict=True))
    beside = source.with_suffix(".truth.npz")
    if not beside.is_file():
        return None
    with np.load(beside) as file:  # under the symbols of its time, as the source's labels are
        genes, names = (_current(file[key]) for key in ("genes", "perts"))
        columns = pd.Index(genes).get_indexer(store.genes)
        return {
            Pair(line, name): delta
            for line in store.lines
            for name, delta in zip(names, file[line][:, columns].astype(float), strict=True)
        }


def _current(symbols: np.ndarray) -> list[str]:
    """Return the current symbols of genes; one that has none stays as it is."""
    table = Symbols.read(GENE_TEXT)
    return [table.resolve(str(symbol))[0] or str(symbol) for symbol in symbols]


def _drugs(path: Path, config: dict[str, Any], seed: int, work: Path) -> Iterator[Screen]:
    """Yield each cell type as the target; ranks become normal scores, drugs have no texts."""
    rng = np.random.default_rng(seed)
    with np.load(path) as file:
        rank, lines, drugs, genes = (
            file[key] for key in ("rank", "context", "perturbation", "gene")
        )
    columns = np.sort(rng.choice(len(genes), DRUG_GENES, replace=False))
    scores = norm.isf((rank[:, :, columns] + 0.5) / len(genes)).reshape(-1, DRUG_GENES)
    pairs = [Pair(str(line), str(drug)) for line in lines for drug in drugs]
    held = {str(drug) for drug in rng.choice(drugs, DRUGS_HELD, replace=False)}
    names = sorted(map(str, drugs))
    vectors = rng.standard_normal((len(names), 32)).astype(np.float32)
    coverage = pd.DataFrame({PERTURBATION: names, "level": "exact", "detail": "random direction"})
    embeddings = _with_controls(Embedding(names, vectors, coverage), seed)
    zero = {str(line): np.zeros(DRUG_GENES) for line in lines}
    for target in map(str, lines):
        test = np.array([line == target and drug in held for line, drug in pairs])
        table = pd.DataFrame(pairs, columns=PAIR).assign(**{N_CELLS: 1, REASON: ""})
        table[ROLE] = np.where(test, "test", "train")
        split = Split(table, "unseen_combination", target)
        entries = table.loc[~test, [*PAIR, N_CELLS]].reset_index(drop=True)
        responses = Responses(
            [str(gene) for gene in genes[columns]], entries, scores[~test],
            np.zeros_like(scores[~test]), zero, zero, split.protocol, target,
        )  # fmt: skip
        yield Screen(
            "op3_drugs_ranks", target, seed, responses, embeddings,
            _neighbours(embeddings, split, config, work),
            [pair for pair, out in zip(pairs, test, strict=True) if out],
            None, None, scores[test], scores[test], None,
        )  # fmt: skip


def _with_controls(embedding: Embedding, seed: int) -> dict[str | None, Embedding]:
    controls = {kind: derive_control(embedding, kind, seed) for kind in EMBEDDING_CONTROLS}
    return {None: embedding} | controls


def _neighbours(
    embeddings: Mapping[str | None, Embedding], split: Split, settings: dict[str, Any], work: Path
) -> dict[str | None, Neighbours]:
    k = max(options.get("topk_rag", 0) for options in settings["arm_options"].values())
    neighbours = {}
    for kind, embedding in {**embeddings, REASSIGNED: embeddings[None]}.items():
        folder = work / _index_name(kind)
        build_index(embedding, split, k, folder, kind == REASSIGNED)
        neighbours[kind] = read_neighbours(folder)
    return neighbours
