"""A lab's use on a **simulated** screen: controls of a line that it had not, truth known.

Four lines; one of them is left out but for its controls, and ten perturbations are taken out of
all lines. Shared by a test and by `benchmarks/own_line.py`.
"""

import anndata
import numpy as np

from ptrag.base.correlation import pearson
from ptrag.genes.symbols import GENE_TEXT
from ptrag.simulate.screen import simulate_screen

NEW_LINE = "hepg2"
KNOBS = {
    "kind": "programmes", "lines": ["k562", "rpe1", "hepg2", "jurkat"], "n_perturbations": 60,
    "n_genes": 150, "cells_per_pair": 30, "controls_per_line": 120, "batches": 1,
    "text_signal": 0.8, "context_signal": 0.3, "systematic_shift": 0.5,
    "gene_text": str(GENE_TEXT),
}  # fmt: skip


def make_lab(folder, seed=1):
    """Write the screen without the line and ten perturbations, and that line's controls.

    Returns the folder, the truth, and ten names each: perturbed nowhere, and in other lines.
    """
    simulate_screen(KNOBS | {"seed": seed}, folder / "whole.h5ad", folder / "truth.h5ad")
    whole, truth = (
        anndata.read_h5ad(folder / "whole.h5ad"),
        anndata.read_h5ad(folder / "truth.h5ad"),
    )
    names = sorted(set(whole.obs["perturbation"]) - {"control"})
    never, elsewhere = names[::6][:10], names[1::6][:10]
    kept = (whole.obs["cell_line"] != NEW_LINE) & ~whole.obs["perturbation"].isin(never)
    whole[kept.to_numpy()].write_h5ad(folder / "screen.h5ad")
    own = (whole.obs["cell_line"] == NEW_LINE) & (whole.obs["perturbation"] == "control")
    whole[own.to_numpy()].write_h5ad(folder / "controls.h5ad")
    return folder, truth, never, elsewhere


def deltas_and_truth(profiles, truth, names):
    """Predicted and true deltas of the new line, (names, genes) each."""
    row = {
        (line, name): i
        for i, (line, name) in enumerate(
            zip(truth.obs["cell_line"], truth.obs["perturbation"], strict=True)
        )
    }
    columns = truth.var_names.get_indexer(profiles.var_names)
    true = np.asarray(truth.X)[[row[NEW_LINE, name] for name in names]][:, columns]
    place = {name: i for i, name in enumerate(profiles.obs["perturbation"])}
    return profiles.layers["delta"][[place[name] for name in names]], true


def mean_pearson(deltas, truth):
    """Mean correlation of rows; a prediction of no change has none and counts as 0."""
    return float(np.mean(np.nan_to_num([pearson(*of) for of in zip(deltas, truth, strict=True)])))
