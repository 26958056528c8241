"""Our members of the 2026 challenge beside cell-eval2's, on the same cells.

Both get real and predicted counts of one context. The halves of a replicate are cut by us and given
to cell-eval2 as a submission with controls of its own, since its own random cut is another one.
"""

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
from cell_eval2 import EvalConfig, compute_metrics

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from challenge_cases import Screen, fold, made_screen, predictions, scaled_controls  # noqa: E402

from ptrag.metrics.calls import FEWEST_PER_MILLION, Pool  # noqa: E402
from ptrag.metrics.vcc2026 import MEMBERS, Context, Measured  # noqa: E402

CONTROL = "non-targeting"
THEIRS = dict(zip(MEMBERS, [
    "pds_cosine", "expr_mse_unbiased_capped_norm", "de_wilcoxon_direction_fidelity_yield_raw",
    "de_wilcoxon_direction_reach_raw", "de_wilcoxon_sig_jaccard", "de_wilcoxon_lfc_nmae",
], strict=True))  # fmt: skip


class Row(NamedTuple):
    """One member on one prediction: (P,) values of each perturbation, ours and theirs."""

    data: str
    prediction: str
    member: str
    ours: np.ndarray
    theirs: np.ndarray

    @property
    def difference(self) -> float:
        """Largest difference over perturbations, relative where a value is above 1."""
        size = np.maximum(np.nanmax(np.abs([self.ours, self.theirs]), axis=0, initial=1.0), 1.0)
        off = np.abs(self.ours - self.theirs) / size
        return float(np.nanmax(off)) if np.isfinite(off).any() else 0.0

    @property
    def same_undefined(self) -> bool:
        """Whether both leave the same perturbations undefined."""
        return bool((np.isnan(self.ours) == np.isnan(self.theirs)).all())


def papalexi(folder: Path) -> Screen:
    """Return eight perturbations of the ECCITE-seq screen, at most 150 cells each."""
    return _real(folder / "papalexi.h5ad", "perturbation", 8, None)


def semireal(folder: Path) -> Screen:
    """Return thirty perturbations of one line of the semi-real screen (cells are simulated)."""
    return _real(folder / "semireal_dev.h5ad", "gene", 30, "hepg2")


def _real(path: Path, column: str, n: int, line: str | None) -> Screen:
    cells = anndata.read_h5ad(path)
    cells = cells if line is None else cells[cells.obs["cell_line"] == line]
    labels = cells.obs[column].astype(str).to_numpy()
    genes = cells.var_names.astype(str).to_numpy()
    names = [name for name in pd.Series(labels).value_counts().index if name in set(genes)][:n]
    rng = np.random.default_rng(0)

    def counts(name: str, most: int) -> np.ndarray:
        rows = np.flatnonzero(labels == name)
        rows = np.sort(rng.choice(rows, min(most, len(rows)), replace=False))
        block = cells.X[rows]
        return np.asarray(block.toarray() if hasattr(block, "toarray") else block, np.float32)

    controls = counts(CONTROL, 400)
    # in cell-eval2 each half of a replicate has the genes of its own controls, in ours of all
    far = controls.mean(axis=0) > 20 * FEWEST_PER_MILLION * controls.sum(axis=1).mean() / 1e6
    kept = far | np.isin(genes, names)
    groups = {name: counts(name, 150)[:, kept] for name in names}
    return Screen(genes[kept], controls[:, kept], groups)


SCREENS = {"Papalexi": papalexi, "semi-real": semireal, "made": lambda folder: made_screen()}


def rows(data: str, folder: Path) -> list[Row]:
    """Return every member on every prediction of a screen."""
    screen = SCREENS[data](folder)
    if data == "made":
        every = predictions(screen)
    else:
        factors = {name: fold(screen, name, 0.5) for name in screen.cells}
        every = {"half": scaled_controls(screen, factors, np.random.default_rng(1))}
    compared = [
        row for name, cells in every.items() for row in compare(data, name, screen, cells, None)
    ]
    return compared + list(compare(data, "replicate", *halves(screen)))


def halves(screen: Screen) -> tuple[Screen, dict[str, np.ndarray], np.ndarray]:
    """Return one half as the real screen, and cells and controls of the other."""
    rng = np.random.default_rng(5)

    def cut(cells: np.ndarray) -> list[np.ndarray]:
        return [cells[part] for part in np.array_split(rng.permutation(len(cells)), 2)]

    controls = cut(screen.controls)
    groups = {name: cut(cells) for name, cells in screen.cells.items()}
    one = Screen(screen.genes, controls[0], {name: half for name, (half, _) in groups.items()})
    return one, {name: half for name, (_, half) in groups.items()}, controls[1]


def compare(
    data: str, name: str, screen: Screen, cells: dict[str, np.ndarray], own: np.ndarray | None
) -> list[Row]:
    """Score one prediction by both; ``own`` are its controls, None where it has none."""
    names = list(screen.cells)
    every, groups = [*screen.cells.values()], [cells[one] for one in names]
    if own is None:
        real = Measured.of(screen.controls, every.__getitem__, len(every))
        predicted = Measured.against(real.control, real.pool, groups.__getitem__, len(groups))
    else:  # the gate is that of all controls
        gate = Pool.of(np.concatenate([screen.controls, own])).genes
        real = Measured.of(screen.controls, every.__getitem__, len(every), gate)
        predicted = Measured.of(own, groups.__getitem__, len(groups), gate)
    ours = Context(real.observed, screen.targets, screen.genes).score(predicted)
    theirs = _theirs(screen, cells, own).reindex(names)
    return [
        Row(data, name, member, ours[member], theirs[member].to_numpy(float)) for member in MEMBERS
    ]


def _theirs(screen: Screen, cells: dict[str, np.ndarray], own: np.ndarray | None) -> pd.DataFrame:
    preset = EvalConfig.from_preset("vcc2026")
    config = replace(
        preset, pert_col="target", control=CONTROL, num_threads=1,
        control_source="real" if own is None else "pred",
    )  # fmt: skip
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = compute_metrics(
            _adata(screen.genes, screen.controls if own is None else own, cells),
            _adata(screen.genes, screen.controls, screen.cells),
            config=config,
        )
    logging.disable(logging.NOTSET)
    long = (table[0] if isinstance(table, tuple) else table).to_pandas()
    wide = long.pivot_table(index="perturbation", columns="metric", values="value", dropna=False)
    # their ratio of sums has no value for one perturbation: N / mean(D) has that mean; they refuse
    # to divide where no response is left
    distance = wide["expr_distance_unbiased"].mean()
    wide[THEIRS["vcc_expression_error"]] = (
        wide["expr_mse_unbiased_capped"] / distance if distance > 0 else np.nan
    )
    return pd.DataFrame({
        member: wide.get(name, np.nan) for member, name in THEIRS.items()
    })  # fmt: skip


def _adata(genes: np.ndarray, controls: np.ndarray, cells: dict[str, np.ndarray]):
    blocks = {CONTROL: controls} | cells
    names = np.repeat(list(blocks), [len(block) for block in blocks.values()])
    obs = pd.DataFrame({"target": names}, index=np.arange(len(names)).astype(str))
    X = np.concatenate(list(blocks.values())).astype(np.float32)
    return anndata.AnnData(X, obs, pd.DataFrame(index=genes))
