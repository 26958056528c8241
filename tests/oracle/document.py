"""The table of agreement, with what stands around it.

.venv-oracle/bin/python tests/oracle/document.py docs/evaluators-agreement.md
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from agreement import Row, rows
from screens import REAL, ROOT, SIMULATED

HEAD = """# Agreement with other evaluators

Made by `make test-oracle`; the tests in `tests/oracle` hold every row to its tolerance.

gge-eval 1.0.1 and cell-eval 0.8.2 (pdex 0.3.0, geomloss 0.3.1) on four screens: **Papalexi** (real
ECCITE-seq of THP-1, 8 perturbations of at most 150 cells, 400 controls, the genes with counts in
every group), **Papalexi, all genes** (299, some without a count in a group), **simulated** (8
perturbations of 40 cells, 90 controls, 40 genes) and **simulated, few DEGs** (perturbation i moves
i genes, 0 to 7, some of them silent in controls and in predictions). The prediction is the controls
moved by half the real delta and a fifth of another's. Values are means over the perturbations for
which both are defined; the difference is the largest one of any perturbation, relative to the
larger of the two values; *undefined* counts perturbations, ours and theirs. Where ours are compared
in PCA space, both see the coordinates of *our* PCA, which is fitted on cells that are not scored;
gge-eval fits its own on the first condition it meets, called in order of the alphabet, and reuses
it for all others, so that its own PCA values depend on which conditions are in the file.

`gge_…` and `cell_eval_…` are columns that `evaluation.compat: true` (or `ptrag evaluate --compat`)
adds, under the packages' own conventions: all controls on both sides, the mean of the predicted
cells as prediction. The others are what every `metrics.tsv` has.

| data | package | its metric | ours | our value | theirs | largest difference | undefined | why |
|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
## Where we follow neither

- `pearson` and `spearman` of gge-eval pair predicted and real cells by row number where there are
  equally many, though their order means nothing; use its `mean_pearson`. Ours never pair cells.
- Energy: ours is the textbook 2E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖ over distinct pairs (unbiased, may be
  slightly negative); `energy_halved` is the published convention, half of it with self-distances.
- W2: ours is the exact, rooted distance; `w2_halved` is the published one (half its square,
  entropic).
- DEGs: Welch against the line's own controls with Benjamini-Hochberg. gge-eval takes unadjusted p
  and |log2(r + 1) − log2(k + 1)| of values that are logarithms already, pools the controls of all
  lines, and falls back to all genes in silence where there is no DEG; ours is undefined there,
  the same pairs for every arm, and counted in `n_missing`.
- A gene without a count in one group has an infinite fold change; several of them tie, and which
  comes first in cell-eval's overlap and precision is left to an unstable sort (ours: the order of
  genes; above both agree). Without a count in both it has not
  changed: 0 in theirs and in `cell_eval_de_spearman_lfc_sig`. Our own DEG metrics rank by the
  delta of log1p profiles, which is finite.
- cell-eval's `precision_at_N` is |top_K(S_R) ∩ S_Q| / K with K = |S_Q|: where more genes are
  predicted than are real, it is the precision; where fewer are, hits outside the K largest real
  ones do not count.
- Its `de_spearman_lfc_sig` is ±1 for two DEGs; so is `cell_eval_de_spearman_lfc_sig`. Our
  correlations need three genes. Where all predicted fold changes are equal theirs is NaN, ours 0.
- Its areas take p below 1e-10 as ties; so does `cell_eval_pr_auc`, not our `deg_pr_auc`.
- A prediction equal to the controls: cell-eval's Pearson is NaN and its discrimination goes by the
  alphabet; ours are 0 and the share with ties counted half.
- The perturbed gene is left out of deltas and DEGs by default (`evaluation.exclude_target`); above
  it is counted in both. Discrimination leaves out the targets of *all* scored perturbations of the
  line, cell-eval only the own one: with that, 60 perturbations whose only effect is their own
  knock-down give a prediction of no change .79 (L1) to 1.00 (L2), where it knows nothing.
- One control mean on both sides of a correlation (theirs) scores its own noise: .27 on the demo
  without any biology. Ours measures real cells from the yardstick half of the controls and
  predictions from the given half; errors of deltas then have the noise of two means in them.
"""


def page(tables: dict[str, list[Row]]) -> str:
    """Return the document."""
    lines = []
    for data, rows_of_data in tables.items():
        for row in rows_of_data:
            both = ~np.isnan(row.values).any(axis=1)
            ours, theirs = row.values[both].mean(axis=0) if both.any() else (np.nan, np.nan)
            undefined = "{}, {}".format(*row.undefined)
            cells = (data, row.package, f"`{row.theirs}`", f"`{row.ours}`", f"{ours:.5g}",
                     f"{theirs:.5g}", f"{row.difference:.1e}", undefined, row.reason)  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


if __name__ == "__main__":
    source = ROOT.parent / "shared" / "data" / "papalexi.h5ad"
    tables = {}
    for make_screen in [*(partial(make, source=source) for make in REAL), *SIMULATED]:
        with TemporaryDirectory() as scratch:
            screen = make_screen(Path(scratch))
            tables[screen.name] = list(rows(screen))
    Path(sys.argv[1]).write_text(page(tables))
