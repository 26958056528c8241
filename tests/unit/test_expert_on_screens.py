"""The expert on screens where text says nothing: how often it looks as if it did."""

from dataclasses import replace

import numpy as np
import pytest
from response_cases import draw_embedding, draw_responses, nearest
from simulated_screen import simulated_store

from ptrag.arms.expert.fitting import fit_expert
from ptrag.base.correlation import pearson
from ptrag.cells.responses import Responses
from ptrag.comparison.statistics import paired_comparison
from ptrag.genes.providers import derive_control, embed
from ptrag.splits.protocols import Split, draw_split

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
    store = simulated_store(folder, KNOBS | {"seed": seed})
    split = SPECS[protocol] | {"protocol": protocol, "seed": seed}
    table = draw_split(store, split, {"min_cells": 5, "min_controls": 2}, "split")
    split = Split(table, protocol, split.get("target"))
    responses = Responses.measured(store, split)
    real = {
        (line, name): store.mean(line, name) - responses.control_mean[line]
        for line, name in split.pairs("test")
    }
    return store, responses, real


def excludes_zero(responses, embedding, shuffled, real):
    """Whether the interval of expert − expert@shuffled (Pearson delta) is clear of zero."""
    scores = []
    for its in (embedding, shuffled):
        neighbours = nearest(its, responses.perturbations, k=8)
        expert = fit_expert(responses, its, neighbours, {"topk_rag": 8})
        scores.append([pearson(expert(*pair).delta, delta) for pair, delta in real.items()])
    clusters = [name for _, name in real]
    found = paired_comparison(np.array(scores[0]), np.array(scores[1]), clusters, 1000, 0.95)
    return found.low > 0 or found.high < 0


@pytest.mark.parametrize("protocol", list(SPECS))
def test_vectors_of_other_perturbations_rarely_look_telling(protocol):
    """20 screens of drawn responses whose text vectors belong to other perturbations."""
    false = []
    for seed in range(20):
        everything = draw_responses(seed=seed, n_perturbations=24, n_genes=30, missing=0)
        embedding = derive_control(draw_embedding(24, seed=seed), "shuffled", seed + 100)
        hide = np.isin(everything.entries["perturbation"], embedding.names[::3])
        target = SPECS[protocol].get("target") and "b"
        if target:
            hide &= (everything.entries["cell_line"] == target).to_numpy()
        known = replace(everything.without(np.flatnonzero(hide)), protocol=protocol, target=target)
        real = {
            (line, name): everything.delta[everything.rows(line, name)[0]]
            for line, name in everything.entries[hide][["cell_line", "perturbation"]].to_numpy()
        }
        again = derive_control(embedding, "shuffled", seed)
        false.append(excludes_zero(known, embedding, again, real))
    assert sum(false) <= 2, f"{sum(false)} of 20 intervals exclude zero"


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
        shuffled = derive_control(embedding, "shuffled", seed)
        false.append(excludes_zero(responses, embedding, shuffled, real))
    assert sum(false) <= 2, f"{sum(false)} of 20 intervals exclude zero"
