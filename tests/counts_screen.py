"""A screen of counts whose genes vary by different amounts, and how it is read."""

import anndata
import numpy as np
import pandas as pd

LINES = ["k562", "rpe1"]
SPEC = {
    "columns": {"perturbation": "gene", "cell_line": "line", "batch": "lane"},
    "control": "ctrl",
    "scale": "counts",
}
ALL = {"genes": "all", "n_genes": 10, "yardstick": 0.5}


def screen(n=400, n_genes=60):
    """Counts; genes vary by different amounts, differently in each line."""
    rng = np.random.default_rng(0)
    line = rng.integers(0, 2, n)
    spread = rng.gamma(2.0, 1.0, (2, n_genes))[line]
    X = rng.poisson(rng.gamma(1 / spread, spread))
    obs = pd.DataFrame(
        {
            "gene": rng.choice(["ctrl", "ctrl", "TP53", "MYC"], n),
            "line": np.array(LINES)[line],
            "lane": rng.integers(0, 3, n),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    var = pd.DataFrame(index=["TP53", "MYC", *(f"NOVEL{i}" for i in range(n_genes - 2))])
    return anndata.AnnData(X.astype(np.float32), obs=obs, var=var)
