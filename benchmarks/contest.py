"""The contest of the closed-form arms: many small screens, every simple baseline, controls.

    python benchmarks/contest.py demo --text-signal 0.8 0.4 0 --seeds 1 2 3 --out contest.tsv
    python benchmarks/contest.py norman_mcfaline papalexi datlinger --seeds 1 2 3 4 5 6

Every seed is a new draw: of a simulated data set the whole screen, of a real one the split;
intervals are clustered by perturbation, which in real draws come again.
Mean profiles max(0, control + δ̂) are scored on the test pairs, against the mean of the real
cells, both less the mean of the measured controls, and against the noise-free profile where it is
known, both less the noise-free mean of controls: the measured one is off, and what it is off by is
in every delta that was measured from it, predicted or real. One row of the table per pair and arm;
the summary has each arm's means and the shares of the gaps between the best simple baseline and
the oracle that it closes, and the paired differences of ``response_expert`` from the best simple
baseline (chosen in hindsight, which favours the baseline) and from its own controls.

``noise_free`` is ``response_expert`` on training deltas from infinitely many perturbed cells, less
the measured controls: what the noise of the measurements costs.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from anndata import read_h5ad

from ptrag.arms.registry import embedding_control, load_arm
from ptrag.base.files import write_table
from ptrag.base.names import CONTROL
from ptrag.cells.preprocess import build_cells
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.comparison.contrasts import BASELINES
from ptrag.comparison.statistics import paired_comparison
from ptrag.config import merge
from ptrag.genes.providers import derive_control, embed
from ptrag.metrics.discrimination import discrimination
from ptrag.metrics.means import mse, pearson
from ptrag.retrieval.index import build_index, read_neighbours
from ptrag.simulate.screen import simulate_screen
from ptrag.splits.protocols import Split, draw_split, read_split, write_split

ARMS = (
    *BASELINES, "knn@shuffled", "response_expert", "response_expert@shuffled",
    "response_expert@random",
)  # fmt: skip
METRICS = {"pearson": True, "mse": False, "pds": True, "pearson_truth": True}  # more is better?
PAIR = ["cell_line", "perturbation"]


def main() -> None:
    """Run the contest and print its summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--text-signal", nargs="+", type=float, default=[0.8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--out", default="results/contest.tsv")
    arguments = parser.parse_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    tables = []
    for name in arguments.datasets:
        simulated = "simulate" in config["datasets"][name]
        for signal in arguments.text_signal if simulated else [None]:
            for seed in arguments.seeds:
                tables += contest(config, name, seed, signal, Path(arguments.data_dir))
    scores = pd.concat(tables, ignore_index=True)
    write_table(scores, arguments.out)
    print(means(scores).to_string(index=False))
    print(differences(scores, config["evaluation"]).to_string(index=False))


def contest(
    config: dict, name: str, seed: int, text_signal: float | None, data_dir: Path
) -> Iterator[pd.DataFrame]:
    """Yield the scores of every split of one draw."""
    entry = config["datasets"][name]
    settings = merge(config, entry.get("settings", {}))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source, truth = data_dir / entry.get("file", ""), None
        if text_signal is not None:
            source, truth = work / "source.h5ad", work / "truth.h5ad"
            knobs = entry["simulate"] | {"seed": seed, "text_signal": text_signal}
            simulate_screen(knobs, source, truth)
        build_cells(source, entry, settings["cells"], work / "cells.h5ad")
        store = CellStore(work / "cells.h5ad")
        embedding = embed("text", store.perturbations, settings["embeddings"])
        embeddings = {None: embedding} | {
            kind: derive_control(embedding, kind, seed) for kind in ("shuffled", "random")
        }
        for split_name, spec in entry["splits"].items():
            table = draw_split(
                store, spec | {"seed": seed}, settings["cells"]["min_cells"], split_name
            )
            write_split(table, spec, work / "split.tsv")
            split = read_split(work / "split.tsv")
            off = controls_off(store, truth) if truth else None
            options = settings["arm_options"]
            predictors = fit_arms(store, split, embeddings, options, truth, off, work)
            scores = score(store, split, predictors, off)
            case = name if text_signal is None else f"{name} text {text_signal:g}"
            yield scores.assign(case=case, split=split_name, seed=seed)


def controls_off(store: CellStore, truth: Path) -> dict[str, np.ndarray]:
    """(G,) of each line: the mean of its measured controls less the noise-free one."""
    true = read_h5ad(truth).varm["control"].loc[store.genes]
    return {line: store.mean(line, CONTROL) - true[line].to_numpy() for line in store.lines}


def fit_arms(
    store: CellStore, split: Split, embeddings: dict, options: dict, truth: Path | None,
    off: dict[str, np.ndarray] | None, work: Path,
) -> dict[str, Callable]:  # fmt: skip
    """Fit every arm on the training responses of one split."""
    responses = Responses.measured(store, split)
    neighbours = {}
    for kind, embedding in embeddings.items():
        k = max(options[arm]["topk_rag"] for arm in ("knn", "response_expert"))
        build_index(embedding, split, k, work / "index")
        neighbours[kind] = read_neighbours(work / "index")

    def fit(arm: str, responses: Responses = responses) -> Callable:
        kind = embedding_control(arm)
        its = options[arm.partition("@")[0]] | {"truth": truth}
        return load_arm(arm).fit(responses, embeddings[kind], neighbours[kind], its)

    predictors = {arm: fit(arm) for arm in ARMS}
    if truth:
        predictors["oracle"] = fit("oracle")
        exact = noise_free(responses, predictors["oracle"], off)
        predictors["noise_free"] = fit("response_expert", exact)
    return predictors


def noise_free(responses: Responses, oracle: Callable, off: dict[str, np.ndarray]) -> Responses:
    """Return the responses as infinitely many perturbed cells would give them."""
    pairs = zip(responses.entries["cell_line"], responses.entries["perturbation"], strict=True)
    delta = np.array([oracle(line, name).delta - off[line] for line, name in pairs])
    return replace(responses, delta=delta, se=0 * responses.se)


def score(
    store: CellStore, split: Split, predictors: dict[str, Callable],
    off: dict[str, np.ndarray] | None,
) -> pd.DataFrame:  # fmt: skip
    """Return one row per arm and test pair."""
    rows = []
    column = {gene: i for i, gene in enumerate(store.genes)}
    test = pd.DataFrame(split.pairs("test"), columns=PAIR)
    for line, its in test.groupby("cell_line"):
        names = list(its["perturbation"])
        control = store.mean(line, CONTROL)
        real = np.array([store.mean(line, name) for name in names]) - control
        own = [np.array([column[g] for g in name.split("+") if g in column], int) for name in names]
        for arm, predict in predictors.items():
            delta = np.array([predict(line, name).delta for name in names])
            said = np.maximum(control + delta, 0.0) - control
            pds = discrimination(said, real, np.arange(len(names)), "l1", own)
            for i, name in enumerate(names):
                keep = np.delete(np.arange(store.n_genes), own[i])
                against_truth = np.nan
                if off:
                    true = predictors["oracle"](line, name).delta[keep]
                    against_truth = pearson((said[i] + off[line])[keep], true)
                its_scores = (
                    pearson(said[i][keep], real[i][keep]), mse(said[i][keep], real[i][keep]),
                    pds[i], against_truth,
                )  # fmt: skip
                rows.append((arm, line, name, *its_scores))
    return pd.DataFrame(rows, columns=["arm", *PAIR, *METRICS])


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each arm's mean scores and the shares of the gaps to the oracle that it closes."""
    table = scores.groupby(["case", "split", "arm"], sort=False)[list(METRICS)].mean()
    for _, its in table.groupby(["case", "split"], sort=False):
        arms = its.index.get_level_values("arm")
        for metric in ("pearson", "pearson_truth") if "oracle" in arms else ():
            bar, oracle = its[metric][arms.isin(BASELINES)].max(), its[metric][arms == "oracle"]
            share = (its[metric] - bar) / (oracle.item() - bar)
            table.loc[its.index, metric.replace("pearson", "closed")] = share
    return table.round(4).reset_index()


def differences(scores: pd.DataFrame, evaluation: dict) -> pd.DataFrame:
    """Return how far ``response_expert`` is from the best simple baseline and its controls."""
    ours, rows = "response_expert", []
    for (case, split), its in scores.groupby(["case", "split"], sort=False):
        wide = its.set_index(["seed", *PAIR, "arm"])[list(METRICS)].unstack("arm")  # noqa: PD010
        drawn = wide["pearson_truth"].notna().any(axis=None)  # a screen of its own for each seed
        clusters = [f"{seed} {name}" if drawn else name for seed, _, name in wide.index]
        for metric, more in METRICS.items():
            if wide[metric].isna().all(axis=None):
                continue
            mean = wide[metric].mean() * (1 if more else -1)
            for against in (mean[list(BASELINES)].idxmax(), f"{ours}@shuffled", f"{ours}@random"):
                found = paired_comparison(
                    wide[metric][ours], wide[metric][against], clusters,
                    evaluation["bootstrap"], evaluation["confidence"],
                )  # fmt: skip
                rows.append(
                    (case, split, metric, against, found.n_pairs, found.difference, found.low,
                     found.high)
                )  # fmt: skip
    columns = ["case", "split", "metric", "against", "n_pairs", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns).round(5)


if __name__ == "__main__":
    main()
