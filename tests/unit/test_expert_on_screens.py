"""The expert on simulated screens: what text that says nothing may do. Slow."""

import numpy as np
import pytest
from response_cases import nearest

from ptrag.cells.preprocess import build_cells
from ptrag.cells.store import CellStore
from ptrag.genes.providers import derive_control, embed
from ptrag.metrics.means import pearson
from ptrag.models.expert import fit_expert
from ptrag.retrieval.responses import Responses
from ptrag.simulate import simulate_screen
from ptrag.splits import Split, draw_split
from ptrag.statistics import paired_comparison

KNOBS = {
    "lines": ["k562", "rpe1", "hepg2"], "n_perturbations": 32, "n_genes": 120,
    "cells_per_pair": 24, "controls_per_line": 96, "batches": 1, "text_signal": 0.0,
    "context_signal": 0.5, "systematic_shift": 0.5, "gene_text": "resources/gene_text.tsv.gz",
}  # fmt: skip
SPECS = {
    "unseen_combination": {"target": "hepg2", "fractions": {"val": 0.1, "test": 0.4}},
    "unseen_perturbation": {"fractions": {"val": 0.1, "test": 0.4}},
}


def measured(folder, seed, protocol):
    """A screen where text says nothing, its training responses and its real test deltas."""
    simulate_screen(KNOBS | {"seed": seed}, folder / "source.h5ad", folder / "truth.h5ad")
    spec = {
        "columns": {"perturbation": "perturbation", "cell_line": "cell_line"},
        "control": "control", "scale": "counts", "simulated": True,
    }  # fmt: skip
    build_cells(folder / "source.h5ad", spec, {"genes": "all"}, folder / "cells.h5ad")
    store = CellStore(folder / "cells.h5ad")
    split = SPECS[protocol] | {"protocol": protocol, "seed": seed}
    table = draw_split(store, split, 5, "split")
    split = Split(table, protocol, split.get("target"))
    responses = Responses.measured(store, split)
    real = {
        (line, name): store.mean(line, name) - responses.control_mean[line]
        for line, name in split.pairs("test")
    }
    return store, responses, real


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list(SPECS))
def test_text_that_says_nothing_rarely_looks_as_if_it_did(tmp_path, protocol):
    """Expert against its own @shuffled, 20 screens: at most 10 % of intervals exclude 0."""
    false = []
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        store, responses, real = measured(folder, seed, protocol)
        settings = {"text": {"gene_text": KNOBS["gene_text"]}, "missing": "drop"}
        embedding = embed("text", store.perturbations, settings)
        scores = []
        for its in (embedding, derive_control(embedding, "shuffled", seed)):
            neighbours = nearest(its, responses.perturbations, k=8)
            expert = fit_expert(responses, its, neighbours, {"topk_rag": 8})
            scores.append([pearson(expert(*pair).delta, delta) for pair, delta in real.items()])
        found = paired_comparison(
            np.array(scores[0]), np.array(scores[1]), [name for _, name in real], 2000, 0.95
        )
        false.append(found.low > 0 or found.high < 0)
    assert sum(false) <= 2, f"{sum(false)} of 20 intervals exclude zero"
