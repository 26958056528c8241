"""Our metrics beside those of gge-eval and cell-eval, on real and on simulated screens.

    .venv-oracle/bin/python tests/oracle/agreement.py docs/evaluators-agreement.md

writes the table; the tests of this folder hold every row to its tolerance. The packages are
called one condition at a time where they would reuse what they fitted on the first one.
"""

import copy
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import anndata
import geomloss
import gge
import numpy as np
import pandas as pd
import torch
from cell_eval import MetricsEvaluator

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from scoring_cases import make_store  # noqa: E402

from ptrag.base.correlation import pearson  # noqa: E402
from ptrag.cells.controls import ALL  # noqa: E402
from ptrag.cells.store import CellStore, write_store  # noqa: E402
from ptrag.evaluation.reference import build_reference, read_reference  # noqa: E402
from ptrag.evaluation.scoring import Case, Reference, score_all  # noqa: E402
from ptrag.metrics.distribution import mmd, w2  # noqa: E402
from ptrag.metrics.registry import METRICS  # noqa: E402
from ptrag.splits.protocols import Split  # noqa: E402

SETTINGS = {
    "exclude_target": False, "n_pcs": 20, "deg_test": "welch", "deg_alpha": 0.05, "max_degs": 100,
    "compat": True,
}  # fmt: skip
EXACT = "same definition"
NO_DEG = EXACT + "; without a real DEG ours is undefined, theirs 0, null or NaN"
SINGLE = 3e-4  # relative: their float32
PERTURBED = ["ATF2", "CAV1", "IFNGR1", "IFNGR2", "IRF1", "JAK2", "SMAD4", "STAT1"]


class Row(NamedTuple):
    """One metric of a package beside ours.

    Attributes
    ----------
    package, theirs, ours
        Names.
    values
        (conditions, 2) ours and theirs, NaN where undefined.
    tolerance
        Largest relative difference; None where they are known to differ.
    reason
        Why they differ, or what is the same.
    """

    package: str
    theirs: str
    ours: str
    values: np.ndarray
    tolerance: float | None
    reason: str

    @property
    def difference(self) -> float:
        """Largest |ours − theirs| / max(|ours|, |theirs|, 1e-3) over conditions."""
        ours, theirs = self.values.T
        size = np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), 1e-3)
        off = np.abs(ours - theirs) / size
        return float(np.nan if np.isnan(off).all() else np.nanmax(off))

    @property
    def undefined(self) -> tuple[int, int]:
        """Conditions that are undefined in ours, and in theirs."""
        return tuple(int(n) for n in np.isnan(self.values).sum(axis=0))


class Screen(NamedTuple):
    """Cells of one line: real, predicted and controls, of a few perturbations."""

    name: str
    store: CellStore
    line: str
    predicted: dict[str, np.ndarray]


def predictions(store: CellStore, line: str, names: list[str]) -> dict[str, np.ndarray]:
    """Controls moved by half the real delta plus a part of another's: neither good nor bad.

    As many as there are real cells plus three, so that no package pairs them up by row.
    """
    controls, guessed = np.asarray(store.controls(line, ALL)), {}
    base = controls.mean(axis=0, dtype=float)
    for i, name in enumerate(names):
        other = names[(i + 1) % len(names)]
        delta = 0.5 * (store.mean(line, name) - base) + 0.2 * (store.mean(line, other) - base)
        n = len(store.cells(line, name)) + 3
        rows = np.random.default_rng(i).choice(len(controls), n, replace=n > len(controls))
        guessed[name] = np.maximum(controls[rows] + delta, 0).astype(np.float32)
    return guessed


def simulated(folder: Path) -> Screen:
    """Return the small simulated screen of the unit tests."""
    store, _ = make_store(folder, n_cells=40, n_controls=90)
    return Screen("simulated", store, "a", predictions(store, "a", store.perturbations[:8]))


def few_degs(folder: Path) -> Screen:
    """Return simulated cells in which perturbation i moves i genes, some silent in controls.

    Of the six silent genes, which no control expresses, predictions have none.
    """
    rng, genes, silent = np.random.default_rng(0), 40, np.arange(34, 40)
    names = [f"P{i}" for i in range(8)]
    labels = np.repeat(["control", *names], [90, *[40] * 8])
    X = 2 + rng.random(genes) + 0.4 * rng.normal(size=(len(labels), genes))
    X[:, silent] = 0
    for i, name in enumerate(names):
        moved = rng.permutation(np.arange(30, 40))[:i]
        X[np.ix_(labels == name, moved)] += rng.uniform(1, 2, (40, i)) * rng.choice([1, 1, -1], i)
    obs = pd.DataFrame({"cell_line": "a", "perturbation": labels})
    path = folder / "few.h5ad"
    X = np.maximum(X, 0).astype(np.float32)
    write_store(path, X, obs, [f"G{i}" for i in range(genes)])
    store = CellStore(path)
    predicted = predictions(store, "a", names)
    for cells in predicted.values():
        cells[:, silent] = 0
    return Screen("simulated, few DEGs", store, "a", predicted)


def papalexi(folder: Path, source: Path, everywhere: bool) -> Screen:
    """Return 8 perturbations of the ECCITE-seq screen (Papalexi 2021), 150 cells each at most.

    ``everywhere`` keeps the genes with counts in every perturbation and in controls: no fold
    change is infinite.
    """
    cells = anndata.read_h5ad(source)
    labels = cells.obs["perturbation"].astype(str).to_numpy()
    rng = np.random.default_rng(0)
    rows = []
    for name, most in [("non-targeting", 400), *((name, 150) for name in PERTURBED)]:
        of_name = np.flatnonzero(labels == name)
        rows.append(np.sort(rng.choice(of_name, min(most, len(of_name)), replace=False)))
    rows = np.concatenate(rows)
    X = np.asarray(cells.X[rows].toarray() if hasattr(cells.X, "toarray") else cells.X[rows], float)
    X = np.log1p(X / np.maximum(X.sum(axis=1, keepdims=True), 1) * 1e4)
    names = np.where(labels[rows] == "non-targeting", "control", labels[rows])
    counted = np.min([X[names == name].mean(axis=0) for name in set(names)], axis=0) > 0
    genes = counted if everywhere else np.ones(X.shape[1], bool)
    obs = pd.DataFrame({"cell_line": "thp1", "perturbation": names})
    path = folder / "papalexi.h5ad"
    write_store(path, X[:, genes].astype(np.float32), obs, list(cells.var_names[genes]))
    store = CellStore(path)
    title = "Papalexi" if everywhere else "Papalexi, all genes"
    return Screen(title, store, "thp1", predictions(store, "thp1", PERTURBED))


SIMULATED = [simulated, few_degs]
REAL = [partial(papalexi, everywhere=everywhere) for everywhere in (True, False)]


def rows(screen: Screen) -> Iterator[Row]:
    """Yield every comparison on one screen."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = _reference(screen, Path(folder))
        cases = _cases(screen, reference)
        scores = score_all(reference, cases.__getitem__)
        ours = [dict(zip(reference.metrics, values, strict=True)) for values in scores]
        yield from _gge(screen, reference, cases, ours)
        yield from _cell_eval(screen, reference, ours, Path(folder))


def _reference(screen: Screen, folder: Path) -> Reference:
    table = pd.DataFrame({"cell_line": screen.line, "perturbation": sorted(screen.predicted)})
    table = table.assign(n_cells=1, role="test", reason="")
    split = Split(table, "unseen_perturbation", None)
    build_reference(
        screen.store, split, SETTINGS, folder / "r.h5", floor_cells=None, ceilings=False
    )
    return read_reference(folder / "r.h5", screen.store, split)


def _cases(screen: Screen, reference: Reference) -> list[Case]:
    given = reference.lines[screen.line].given
    return [
        Case(reference.side(i, screen.predicted[name], given), reference.real(i))
        for i, (_, name) in enumerate(reference.keys)
    ]


def _gge(
    screen: Screen, reference: Reference, cases: list[Case], ours: list[dict[str, float]]
) -> Iterator[Row]:
    """gge-eval: in the space of genes by its evaluator, in our PCA by its metrics themselves."""
    paper, default = {"deg_lfc": 0.05, "deg_pval": 0.1}, {"deg_lfc": 1.0, "deg_pval": 0.05}
    by_evaluator = {
        "deg": (gge.MSEDistance(space="deg", **paper), None),  # without it effects are NaN
        "mse": (gge.MSEDistance(), "gge_mse"),
        "r_squared": (gge.RSquared(), "gge_r_squared"),
        "perturbation_effect_pearson": (
            gge.PerturbationEffectCorrelation(), "gge_perturbation_effect_pearson",
        ),
        "perturbation_effect_spearman": (
            gge.PerturbationEffectCorrelation(method="spearman"),
            "gge_perturbation_effect_spearman",
        ),
        "mean_pearson": (gge.MeanPearsonCorrelation(), "of mean profiles"),
    }  # fmt: skip
    for i, case in enumerate(cases):
        q, r = case.predicted.moments.mean, case.real.moments.mean
        ours[i]["of mean profiles"] = pearson(q, r)
        ours[i]["mmd, own bandwidth"] = _own_bandwidth(reference.scored(i, *case).distances)
        ours[i]["exact ½ W2²"] = 0.5 * w2(reference.scored(i, *case).distances) ** 2
    theirs = [_by_evaluator(screen, name, by_evaluator) for _, name in reference.keys]
    for name in list(by_evaluator)[1:]:
        yield _row("gge-eval", name, by_evaluator[name][1], ours, theirs, SINGLE, EXACT)
    for label, rule in (("paper", paper), ("default", default)):
        metrics = {
            kind: (metric(space="deg", **rule), f"gge_{kind}_degs_{label}")
            for kind, metric in (
                ("pearson", gge.MeanPearsonCorrelation), ("spearman", gge.MeanSpearmanCorrelation),
            )
        }  # fmt: skip
        theirs = [_by_evaluator(screen, name, metrics) for _, name in reference.keys]
        for kind, (_, own) in metrics.items():
            yield _row(
                "gge-eval", f"mean_{kind} (deg, {label})", own, ours, theirs, SINGLE,
                EXACT + "; with fewer than three DEGs ours is undefined, without any theirs falls "
                "back to all genes",
                key=kind,
            )  # fmt: skip
    in_pca = {
        "wasserstein_1": (gge.Wasserstein1Distance(), "w1", SINGLE, EXACT + ", per component"),
        "energy": (gge.EnergyDistance(), "gge_energy", SINGLE, EXACT + ": ½ V, per component"),
        "mmd": (gge.MMDDistance(), "gge_mmd", 2e-3, EXACT + ", per component"),
        "wasserstein_2": (
            gge.Wasserstein2Distance(), "gge_w2", None,
            "theirs is a Sinkhorn value that has not converged, below the exact ½ W2²",
        ),
        "multivariate_wasserstein": (
            gge.MultivariateWasserstein(), "exact ½ W2²", 0.05,
            "theirs is entropic, a few per cent below the exact value",
        ),
        "multivariate_mmd": (
            gge.MultivariateMMD(), "mmd, own bandwidth", 2e-3,
            EXACT + ", with the median distance of the scored cells as bandwidth; our `mmd` takes "
            "that of cells that are not scored, and is not clipped at 0",
        ),
    }  # fmt: skip
    theirs = [
        {
            name: metric.compute(case.real.cells, case.predicted.cells).aggregate_value
            for name, (metric, *_) in in_pca.items()
        }
        for case in cases
    ]
    for name, (_, own, tolerance, reason) in in_pca.items():
        yield _row("gge-eval", name, own, ours, theirs, tolerance, reason)
    theirs = [_geomloss(case) for case in cases]
    for name, own in (("sinkhorn", "w2_halved"), ("energy", "energy_halved")):
        yield _row("geomloss", name, own, ours, theirs, 1e-4, EXACT + ", joint, default settings")


def _own_bandwidth(d: object) -> float:
    every = np.concatenate([
        d.between.ravel(),
        *(part[np.triu_indices(len(part), 1)] for part in (d.predicted, d.real)),
    ])  # fmt: skip
    return max(mmd(d, float(np.median(every[every > 0]))), 0.0)


def _geomloss(case: Case) -> dict[str, float]:
    cells = [torch.from_numpy(side.cells) for side in case]
    return {
        "sinkhorn": float(geomloss.SamplesLoss("sinkhorn", p=2, backend="tensorized")(*cells)),
        "energy": float(geomloss.SamplesLoss("energy", backend="tensorized")(*cells)),
    }


def _by_evaluator(screen: Screen, name: str, metrics: dict) -> dict[str, float]:
    real = _adata(screen, {name: screen.store.cells(screen.line, name)})
    predicted = _adata(screen, {name: screen.predicted[name]}, controls=False)
    result = gge.evaluate(
        real, predicted, condition_columns=["perturbation"], control_key="control",
        control_column="perturbation", verbose=False,
        metrics=[copy.deepcopy(metric) for metric, *_ in metrics.values()],  # they keep their fit
    )  # fmt: skip
    (split,) = result.splits.values()
    (condition,) = (one for one in split.conditions.values() if one.perturbation != "control")
    values = [metric.aggregate_value for metric in condition.metrics.values()]
    return dict(zip(metrics, values, strict=True))


def _adata(screen: Screen, cells: dict[str, np.ndarray], controls: bool = True) -> anndata.AnnData:
    blocks = ({"control": screen.store.controls(screen.line, ALL)} if controls else {}) | cells
    names = np.repeat(list(blocks), [len(block) for block in blocks.values()])
    obs = pd.DataFrame({"perturbation": names}, index=np.arange(len(names)).astype(str))
    X = np.concatenate([np.asarray(block) for block in blocks.values()])
    return anndata.AnnData(X, obs, pd.DataFrame(index=screen.store.genes))


def _cell_eval(
    screen: Screen, reference: Reference, ours: list[dict[str, float]], folder: Path
) -> Iterator[Row]:
    names = [name for _, name in reference.keys]
    real = _adata(screen, {name: screen.store.cells(screen.line, name) for name in names})
    predicted = _adata(screen, {name: screen.predicted[name] for name in names})
    evaluator = MetricsEvaluator(
        predicted, real, control_pert="control", pert_col="perturbation", num_threads=1,
        outdir=str(folder),
    )  # fmt: skip
    table, _ = evaluator.compute(
        profile="full", write_csv=False, skip_metrics=["clustering_agreement"]
    )
    theirs = table.to_pandas().set_index("perturbation").loc[names].to_dict("records")
    for name in (name for name, metric in METRICS.items() if metric.family == "cell_eval"):
        short = name.removeprefix("cell_eval_")
        tolerance, reason = _explained(short)
        if short in theirs[0]:
            yield _row("cell-eval", short, name, ours, theirs, tolerance, reason)
    for own, name, reason in OTHERWISE:
        yield _row("cell-eval", name, own, ours, theirs, None, reason)


def _explained(name: str) -> tuple[float, str]:
    """Tolerance and reason of one of cell-eval's metrics."""
    if name.startswith("discrimination"):
        return SINGLE, EXACT + "; ties count half in ours, go by the order of a sort in theirs"
    if name in ("mse", "mae") or name.endswith("_delta"):
        return SINGLE, EXACT
    return 2e-3, NO_DEG


#: Columns of every table beside what bears a like name in cell-eval.
OTHERWISE = [
    ("pearson_delta", "pearson_delta",
     "ours measures the two sides from different controls; theirs has one control mean, whose "
     "noise raises it"),
    ("mse_delta", "mse_delta", "ours has the noise of two control means"),
    *((f"pds_{distance}", f"discrimination_score_{distance}",
       "ours divides by N − 1 (chance ½, worst 0), leaves out the targets of all perturbations, "
       "and measures from different controls")
      for distance in ("cosine", "l1", "l2")),
    ("deg_precision", "precision_at_N",
     "ours is |S_Q ∩ S_R| / |S_Q|, by Welch, undefined without a real DEG; theirs takes of S_R "
     "only as many as S_Q has"),
]  # fmt: skip


def _row(
    package: str, name: str, own: str, ours: list[dict], theirs: list[dict],
    tolerance: float | None, reason: str, key: str | None = None,
) -> Row:  # fmt: skip
    pairs = [
        (mine[own], np.nan if other[key or name] is None else float(other[key or name]))
        for mine, other in zip(ours, theirs, strict=True)
    ]
    return Row(package, name, own, np.array(pairs, float), tolerance, reason)


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
  comes first in cell-eval's overlap and precision is arbitrary. Without a count in both it has not
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
    for make in [*(partial(make, source=source) for make in REAL), *SIMULATED]:
        with TemporaryDirectory() as scratch:
            screen = make(Path(scratch))
            tables[screen.name] = list(rows(screen))
    Path(sys.argv[1]).write_text(page(tables))
