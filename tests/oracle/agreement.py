"""Our metrics beside those of gge-eval and cell-eval, on real and on simulated screens.

The tests of this folder hold every row to its tolerance, ``document.py`` writes them as a page. The
packages are called one condition at a time where they would reuse what they fitted on the first
one.
"""

import copy
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
from screens import Screen  # puts our library on the path

from ptrag.base.correlation import pearson
from ptrag.cells.controls import ALL
from ptrag.evaluation.reference import build_reference, read_reference
from ptrag.evaluation.scoring import score_all
from ptrag.evaluation.sides import Case, Reference
from ptrag.metrics.distribution import mmd, w2
from ptrag.metrics.registry import METRICS
from ptrag.splits.protocols import Split

SETTINGS = {
    "exclude_target": False, "n_pcs": 20, "deg_test": "welch", "deg_alpha": 0.05, "max_degs": 100,
    "compat": True,
}  # fmt: skip
EXACT = "same definition"
NO_DEG = EXACT + "; without a real DEG ours is undefined, theirs 0, null or NaN"
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

    @property
    def undefined(self) -> tuple[int, int]:
        """Conditions that are undefined in ours, and in theirs."""
        return tuple(int(n) for n in np.isnan(self.values).sum(axis=0))


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
    yield from _gge_in_pca(cases, ours)


def _gge_in_pca(cases: list[Case], ours: list[dict[str, float]]) -> Iterator[Row]:
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
