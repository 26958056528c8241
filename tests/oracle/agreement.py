"""Our metrics beside those of gge-eval and cell-eval, on a real and on a simulated screen.

    .venv-oracle/bin/python tests/oracle/agreement.py docs/evaluators-agreement.md

writes the table; the tests of this folder hold every row to its tolerance. The packages are
called one condition at a time where they would reuse what they fitted on the first one.
"""

import copy
import sys
import warnings
from collections.abc import Iterator
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
from ptrag.cells.store import CellStore, write_store  # noqa: E402
from ptrag.evaluation.reference import build_reference, read_reference  # noqa: E402
from ptrag.evaluation.scoring import Case, Reference, score_all  # noqa: E402
from ptrag.metrics.distribution import mmd, w2  # noqa: E402
from ptrag.metrics.registry import METRICS, score_pair  # noqa: E402
from ptrag.prediction.emission import shift_cells  # noqa: E402
from ptrag.splits.protocols import Split  # noqa: E402

SETTINGS = {
    "exclude_target": False, "n_pcs": 20, "deg_test": "welch", "deg_alpha": 0.05, "max_degs": 100,
    "compat": True,
}  # fmt: skip
EXACT = "same definition"
SINGLE = 3e-4  # relative: their float32


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
    controls, guessed = np.asarray(store.controls(line)), {}
    base = controls.mean(axis=0, dtype=float)
    for i, name in enumerate(names):
        other = names[(i + 1) % len(names)]
        delta = 0.5 * (store.mean(line, name) - base) + 0.2 * (store.mean(line, other) - base)
        n = len(store.cells(line, name)) + 3
        rows = np.random.default_rng(i).choice(len(controls), n, replace=n > len(controls))
        guessed[name] = shift_cells(controls[rows], delta)
    return guessed


def simulated(folder: Path) -> Screen:
    """Return the small simulated screen of the unit tests."""
    store, _ = make_store(folder, n_cells=40, n_controls=90)
    return Screen("simulated", store, "a", predictions(store, "a", store.perturbations[:8]))


def papalexi(folder: Path, source: Path) -> Screen:
    """Return 8 perturbations of the ECCITE-seq screen (Papalexi 2021), 60 cells each at most."""
    cells = anndata.read_h5ad(source, backed="r")
    labels = cells.obs["perturbation"].astype(str).to_numpy()
    rng = np.random.default_rng(0)
    counts = pd.Series(labels).value_counts()
    names = sorted(counts[(counts >= 50) & (counts.index != "non-targeting")].index)[:8]
    rows = []
    for name, most in [("non-targeting", 300), *((name, 60) for name in names)]:
        its = np.flatnonzero(labels == name)
        rows.append(np.sort(rng.choice(its, min(most, len(its)), replace=False)))
    rows = np.concatenate(rows)
    X = np.stack([_dense(cells.X[int(row)]) for row in rows])
    X = np.log1p(X / np.maximum(X.sum(axis=1, keepdims=True), 1) * 1e4)
    there = np.min([X[labels[rows] == name].mean(axis=0) for name in names], axis=0) > 0
    variance = X[labels[rows] == "non-targeting"].var(axis=0) * there  # no infinite fold change
    genes = np.sort(np.argsort(-variance)[: min(300, int(there.sum()))])
    perturbation = np.where(labels[rows] == "non-targeting", "control", labels[rows])
    obs = pd.DataFrame({"cell_line": "thp1", "perturbation": perturbation})
    path = folder / "papalexi.h5ad"
    write_store(path, X[:, genes].astype(np.float32), obs, list(cells.var_names[genes]))
    store = CellStore(path)
    return Screen("Papalexi", store, "thp1", predictions(store, "thp1", names))


def _dense(row: object) -> np.ndarray:
    return np.asarray(row.toarray() if hasattr(row, "toarray") else row, float).ravel()


def rows(screen: Screen) -> Iterator[Row]:
    """Yield every comparison on one screen."""
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = _reference(screen, Path(folder), SETTINGS)
        cases = _cases(screen, reference)
        yield from _gge(screen, reference, cases)
        yield from _cell_eval(screen, reference, cases, Path(folder))


def _reference(screen: Screen, folder: Path, settings: dict) -> Reference:
    table = pd.DataFrame({"cell_line": screen.line, "perturbation": sorted(screen.predicted)})
    table = table.assign(n_cells=1, role="test", reason="")
    split = Split(table, "unseen_perturbation", None)
    build_reference(
        screen.store, split, settings, folder / "r.h5", floor_cells=None, ceilings=False
    )
    return read_reference(folder / "r.h5", screen.store, split)


def _cases(screen: Screen, reference: Reference) -> list[Case]:
    names = reference.pairs["perturbation"]
    return [
        Case(reference.profile(i, screen.predicted[name]), reference.real(i))
        for i, name in enumerate(names)
    ]


def _gge(screen: Screen, reference: Reference, cases: list[Case]) -> Iterator[Row]:
    """gge-eval: in the space of genes by its evaluator, in our PCA by its metrics themselves."""
    paper, default = {"deg_lfc": 0.05, "deg_pval": 0.1}, {"deg_lfc": 1.0, "deg_pval": 0.05}
    by_evaluator = {
        "deg": (gge.MSEDistance(space="deg", **paper), None),  # without it effects are NaN
        "mse": (gge.MSEDistance(), "mse"),
        "r_squared": (gge.RSquared(), "r2"),
        "perturbation_effect_pearson": (gge.PerturbationEffectCorrelation(), "pearson_delta"),
        "perturbation_effect_spearman": (
            gge.PerturbationEffectCorrelation(method="spearman"), "spearman_delta",
        ),
        "mean_pearson": (gge.MeanPearsonCorrelation(), "of profiles"),
    }  # fmt: skip
    ours = [score_pair(reference.scored(i, *case), True) for i, case in enumerate(cases)]
    for i, case in enumerate(cases):
        q, r = case.predicted.moments.mean, case.real.moments.mean
        ours[i]["of profiles"] = pearson(q, r)
        ours[i]["mmd, own bandwidth"] = _own_bandwidth(reference.scored(i, *case).distances)
        ours[i]["exact ½ W2²"] = 0.5 * w2(reference.scored(i, *case).distances) ** 2
    theirs = [_by_evaluator(screen, name, by_evaluator) for name in reference.pairs["perturbation"]]
    for name in list(by_evaluator)[1:]:
        yield _row("gge-eval", name, by_evaluator[name][1], ours, theirs, SINGLE, EXACT)
    for label, rule in (("paper", paper), ("default", default)):
        metrics = {
            kind: (metric(space="deg", **rule), f"gge_{kind}_degs_{label}")
            for kind, metric in (
                ("pearson", gge.MeanPearsonCorrelation), ("spearman", gge.MeanSpearmanCorrelation),
            )
        }  # fmt: skip
        theirs = [_by_evaluator(screen, name, metrics) for name in reference.pairs["perturbation"]]
        for kind, (_, own) in metrics.items():
            yield _row(
                "gge-eval", f"mean_{kind} (deg, {label})", own, ours, theirs, SINGLE,
                EXACT + "; without a DEG theirs falls back to all genes, ours is undefined",
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
    cells = [torch.from_numpy(its.cells) for its in (case.predicted, case.real)]
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
    (condition,) = (its for its in split.conditions.values() if its.perturbation != "control")
    values = [its.aggregate_value for its in condition.metrics.values()]
    return dict(zip(metrics, values, strict=True))


def _adata(screen: Screen, cells: dict[str, np.ndarray], controls: bool = True) -> anndata.AnnData:
    its = ({"control": screen.store.controls(screen.line)} if controls else {}) | cells
    names = np.repeat(list(its), [len(x) for x in its.values()])
    obs = pd.DataFrame({"perturbation": names}, index=np.arange(len(names)).astype(str))
    return anndata.AnnData(
        np.concatenate([np.asarray(x) for x in its.values()]), obs,
        pd.DataFrame(index=screen.store.genes),
    )  # fmt: skip


def _cell_eval(
    screen: Screen, reference: Reference, cases: list[Case], folder: Path
) -> Iterator[Row]:
    names = list(reference.pairs["perturbation"])
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
    ours = [score_pair(reference.scored(i, *case), True) for i, case in enumerate(cases)]
    for name in ("pearson_delta", "mse", "mae", "mse_delta", "mae_delta"):
        reason = EXACT + ("; all genes, the perturbed one too" if "delta" in name else "")
        yield _row("cell-eval", name, name, ours, theirs, SINGLE, reason)
    without = _reference(screen, folder, SETTINGS | {"exclude_target": True})
    columns = {name: i for i, name in enumerate(without.metrics)}
    scored = score_all(without, cases.__getitem__)
    for distance in ("l1", "l2", "cosine"):
        n = len(names)
        values = [
            {f"pds_{distance}": row[columns[f"pds_{distance}"]] * (n - 1) / n + 1 / n}
            for row in scored
        ]
        yield _row(
            "cell-eval", f"discrimination_score_{distance}", f"pds_{distance}", values, theirs,
            SINGLE, "theirs divides by N, so that the worst is 1/N; ours, by N − 1, is shown as "
            "(s (N − 1) + 1) / N. Ties count half in ours, by the alphabet in theirs",
        )  # fmt: skip
    for name in (name for name, its in METRICS.items() if its.family == "cell_eval"):
        short = name.removeprefix("cell_eval_")
        yield _row(
            "cell-eval", short, name, ours, theirs, 2e-3,
            EXACT + "; a pair without a real DEG is undefined in ours, 0, null or NaN in theirs",
        )  # fmt: skip


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

gge-eval 1.0.1 and cell-eval 0.8.2 (pdex 0.3.0, geomloss 0.3.1) on two screens: **Papalexi**
(real ECCITE-seq of THP-1, 8 perturbations of at most 60 cells, 300 controls, up to 300 genes) and
**simulated** (8 perturbations of 40 cells, 90 controls, 40 genes). The prediction is the controls
moved by half the real delta and a fifth of another's. Values are means over the perturbations for
which both are defined; the difference is the largest one of any perturbation, relative to the
larger of the two values. Where ours are compared in PCA space, both see the coordinates of *our*
PCA, which is fitted on cells that are not scored; gge-eval fits its own on the first condition it
meets, called in order of the alphabet, and reuses it for all others, so that its own PCA values
depend on which conditions are in the file.

`gge_…` and `cell_eval_…` are columns that `evaluation.compat: true` (or `ptrag evaluate --compat`)
adds, under the packages' own conventions; the others are what every `metrics.tsv` has.

| data | package | its metric | ours | our value | theirs | largest difference | why |
|---|---|---|---|---|---|---|---|
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
  comes first in cell-eval's `overlap_at_N` is arbitrary (.05 against .18 on Papalexi with such
  genes). The genes above have counts in every group; ours ranks by the delta of log1p profiles,
  which is finite. Its areas take p below 1e-10 as ties; so does `cell_eval_pr_auc`, not our
  `deg_pr_auc`.
- A prediction equal to the controls: cell-eval's Pearson is NaN and its discrimination goes by the
  alphabet; ours are 0 and the share with ties counted half.
- The perturbed gene is left out of deltas and DEGs by default (`evaluation.exclude_target`); above
  it is counted in both, except for discrimination, where cell-eval leaves it out too.
"""


def page(tables: dict[str, list[Row]]) -> str:
    """Return the document."""
    lines = []
    for data, its in tables.items():
        for row in its:
            there = ~np.isnan(row.values).any(axis=1)
            ours, theirs = row.values[there].mean(axis=0) if there.any() else (np.nan, np.nan)
            cells = (data, row.package, f"`{row.theirs}`", f"`{row.ours}`", f"{ours:.5g}",
                     f"{theirs:.5g}", f"{row.difference:.1e}", row.reason)  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


if __name__ == "__main__":
    data = ROOT.parent / "shared" / "data" / "papalexi.h5ad"
    with TemporaryDirectory() as scratch:
        screens = [papalexi(Path(scratch), data), simulated(Path(scratch))]
        Path(sys.argv[1]).write_text(page({screen.name: list(rows(screen)) for screen in screens}))
