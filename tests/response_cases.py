"""A small screen of responses with programmes that text and lines share, for tests."""

import numpy as np
import pandas as pd

from ptrag.cells.responses import Responses
from ptrag.genes.embeddings import Embedding
from ptrag.retrieval.index import Neighbours


def draw_responses(
    seed=0, lines=("a", "b", "c"), n_perturbations=14, n_genes=9, missing=0.2, noise=0.3,
    doubles=0, **facts
):  # fmt: skip
    """Responses of families that an embedding knows, with every n-th entry missing at random.

    Doubles are sums of their singles, with something of their own.
    """
    rng = np.random.default_rng(seed)
    names = [f"P{i:02d}" for i in range(n_perturbations)]
    family = rng.standard_normal((n_perturbations // 3 + 1, n_genes))
    effect = {p: family[i // 3] + 0.3 * rng.standard_normal(n_genes) for i, p in enumerate(names)}
    for double in double_names(doubles):
        parts = sum(effect[p] for p in double.split("+"))
        effect[double] = parts + 0.2 * rng.standard_normal(n_genes)
    names = list(effect)
    shift = {line: rng.standard_normal(n_genes) for line in lines}
    pairs = [(line, p) for line in lines for p in names if rng.random() > missing]
    cells = rng.integers(5, 60, len(pairs))
    own = noise / np.sqrt(cells)[:, None] * (0.5 + rng.random((len(pairs), n_genes)))
    control_se = {line: 0.01 + 0.02 * rng.random(n_genes) for line in lines}
    delta = np.array([shift[line] + effect[p] for line, p in pairs])
    delta += own * rng.standard_normal(delta.shape)
    se = np.sqrt(own**2 + np.array([control_se[line] for line, _ in pairs]) ** 2)
    entries = pd.DataFrame(pairs, columns=["cell_line", "perturbation"]).assign(n_cells=cells)
    mean = {line: rng.random(n_genes) * 3 for line in lines}
    genes = [f"G{g}" for g in range(n_genes)]
    return Responses(genes, entries, delta, se, mean, control_se, **facts)


def double_names(n):
    """P00+P01, P01+P02, ..."""
    return [f"P{i:02d}+P{i + 1:02d}" for i in range(n)]


def draw_embedding(n_perturbations=14, size=6, seed=1, doubles=0):
    """Vectors of P00, P01, ...: members of a family (three in a row) are near each other.

    The vector of a double is the mean of those of its singles.
    """
    rng = np.random.default_rng(seed)
    family = rng.standard_normal((n_perturbations // 3 + 1, size))
    vectors = family[np.arange(n_perturbations) // 3]
    vectors = vectors + 0.3 * rng.standard_normal(vectors.shape)
    vectors = np.concatenate([vectors, (vectors[:doubles] + vectors[1 : doubles + 1]) / 2])
    names = [*(f"P{i:02d}" for i in range(n_perturbations)), *double_names(doubles)]
    coverage = pd.DataFrame({"perturbation": names, "level": "exact", "detail": names})
    return Embedding(names, vectors.astype(np.float32), coverage)


def nearest(embedding, names, k=4):
    """The k nearest of ``names`` to every perturbation by cosine, as stage one lists them."""
    unit = embedding.vectors / np.linalg.norm(embedding.vectors, axis=1, keepdims=True)
    cosine = unit @ unit[embedding.rows(names)].T
    rows = []
    for query, similarity in zip(embedding.names, cosine, strict=True):
        order = [j for j in np.argsort(-similarity, kind="stable") if names[j] != query][:k]
        rows += [(query, i + 1, names[j], float(similarity[j])) for i, j in enumerate(order)]
    columns = ["perturbation", "rank", "neighbour", "similarity"]
    return Neighbours(list(embedding.names), pd.DataFrame(rows, columns=columns), k)
