"""Whether displaced vectors keep a network from over-fitting on perturbations that are new.

    python benchmarks/overfitting.py demo network semireal_dev --data-dir data

On the protocol ``unseen_perturbation`` one arm is trained with and without displacement of its
perturbation vectors (``model.vector_noise``), everything else alike, and its predictions of the
test pairs are scored as benchmarks/contest.py does. Every seed draws a simulated screen anew, and
the split of ``semireal_dev``; so a perturbation of another simulated screen is another cluster of
the interval, one of another semi-real split is the same.

Printed are, for each data set, the means of both, their paired difference with its interval, in how
many draws the displaced network is better; then of each option the steps kept, how many trainings
reached their plateau within the budget, and the CPU seconds of one (median).
"""

import copy
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from contest import METRICS, components, predictions, score
from screens import N_SEMIREAL, SEMIREAL, Screen, screens, screens_parser

from ptrag.base.files import write_table
from ptrag.base.names import PAIR
from ptrag.comparison.statistics import paired_comparison
from ptrag.prediction.loading import load_bundle
from ptrag.training.job import TrainingJob
from ptrag.training.run import train

NONE, DISPLACED = "none", "displaced"
VALIDATED = 10  # perturbations, about
TESTED = 0.3  # of the perturbations
TEXT_SIGNAL = 0.8
FACTS = ["step", "plateau", "cpu_seconds"]


def main() -> None:
    """Train, score, print."""
    parser = screens_parser(__doc__.partition("\n")[0])
    parser.add_argument("--arm", default="state_genept_residual")
    parser.add_argument("--noise", type=float, default=1.4, help="of the displaced vectors")
    parser.add_argument("--steps", type=int, default=800, help="budget of each training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--out", default="results/overfitting.tsv")
    arguments = parser.parse_args()
    config = of_unseen(yaml.safe_load(Path(arguments.config).read_text()))
    options = {NONE: {"vector_noise": 0.0}, DISPLACED: {"vector_noise": arguments.noise}}
    tables = []
    for seed in arguments.seeds:
        for name in arguments.datasets:
            signal = TEXT_SIGNAL if "simulate" in config["datasets"][name] else None
            for screen in screens(config, name, seed, signal, arguments.data_dir):
                screen = with_vectors(screen)
                tables.append(trained(screen, config, arguments.arm, arguments.steps, options))
                write_table(pd.concat(tables, ignore_index=True), arguments.out)
    scores = pd.concat(tables, ignore_index=True)
    for table in (differences(scores, config["evaluation"]), costs(scores)):
        print(table.to_string(index=False), end="\n\n")


def of_unseen(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with one split, of unseen perturbations, for every data set."""
    config = copy.deepcopy(config)
    config["datasets"]["semireal_dev"] = copy.deepcopy(SEMIREAL)
    for entry in config["datasets"].values():
        perturbations = entry.get("simulate", {}).get("n_perturbations", N_SEMIREAL)
        fractions = {"val": VALIDATED / perturbations, "test": TESTED}
        split = {"protocol": "unseen_perturbation", "fractions": fractions}
        entry["splits"] = {"genes": split}
    return config


def with_vectors(screen: Screen) -> Screen:
    """Return a screen with the test pairs whose perturbation has a vector."""
    has = np.array([pair.perturbation in screen.embeddings[None].names for pair in screen.pairs])
    return replace(
        screen,
        pairs=[pair for pair, kept in zip(screen.pairs, has, strict=True) if kept],
        profiles=screen.profiles[has],
        observed=screen.observed[has],
        truth=None if screen.truth is None else screen.truth[has],
    )


def trained(
    screen: Screen, config: dict[str, Any], arm: str, steps: int, options: dict[str, dict]
) -> pd.DataFrame:
    """Train an arm with each option, and return one row per test pair and option."""
    predicted, facts, pca = {}, [], components(screen, config["evaluation"]["n_pcs"])
    with tempfile.TemporaryDirectory() as folder:
        for option, model in options.items():
            job = job_of(screen, config, arm, steps, model, Path(folder) / option)
            begun = time.process_time()
            train(job)
            seconds = time.process_time() - begun
            bundle = load_bundle(job.bundle)
            about = bundle.about
            facts.append((option, about["step"], about["plateau"], seconds))
            predicted[option] = predictions(screen, bundle.predictor, pca)
    facts = pd.DataFrame(facts, columns=["arm", *FACTS])
    scores = score(screen, predicted).merge(facts, on="arm")
    return scores.rename(columns={"arm": "option"}).assign(arm=arm)


def job_of(
    screen: Screen, config: dict[str, Any], arm: str, steps: int, model: dict, out: Path
) -> TrainingJob:
    """Return the training of an arm on a screen."""
    own = dict(config["arm_options"][arm])
    own.pop("model", None)
    training = config["training"] | {"max_steps": steps, "validate_every": max(1, steps // 12)}
    return TrainingJob(
        arm=arm, seed=screen.seed, cells=screen.folder / "cells.h5ad",
        split=screen.folder / "split.tsv", embedding=screen.folder / "embedding.h5ad",
        index=screen.folder / "index" if own["rag"] else None, options=own,
        model=config["model"] | model, training=training, bundle=out / "bundle",
        history=out / "history.tsv",
    )  # fmt: skip


def differences(scores: pd.DataFrame, evaluation: dict[str, Any]) -> pd.DataFrame:
    """Return one row per data set and metric: both means, displaced minus none, draws."""
    rows = []
    for case, of_case in scores.groupby("case", sort=False):
        index = ["seed", "drawn_anew", *PAIR]
        wide = of_case.set_index([*index, "option"])[list(METRICS)].unstack("option")  # noqa: PD010
        clusters = [f"{seed} {name}" if anew else name for seed, anew, _, name in wide.index]
        for metric, higher in METRICS.items():
            values = wide[metric]
            if values.isna().all(axis=None):
                continue
            result = paired_comparison(
                values[DISPLACED], values[NONE], clusters, evaluation["bootstrap"],
                evaluation["confidence"],
            )  # fmt: skip
            of_draw = (values[DISPLACED] - values[NONE]).groupby("seed").mean()
            better = int(((of_draw > 0) if higher else (of_draw < 0)).sum())
            rows.append(
                (case, metric, result.n_pairs, values[NONE].mean(), values[DISPLACED].mean(),
                 result.difference, result.low, result.high, f"{better} of {len(of_draw)}")
            )  # fmt: skip
    columns = ["case", "metric", "pairs", NONE, DISPLACED, "difference", "low", "high", "better in"]
    return pd.DataFrame(rows, columns=columns).round(4)


def costs(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set and option: steps kept, plateaus, CPU seconds."""
    runs = scores.groupby(["case", "option", "seed"], sort=False)[FACTS].first()
    return (
        runs.groupby(["case", "option"], sort=False)
        .agg(
            steps=("step", lambda steps: " ".join(map(str, steps))),
            plateau=("plateau", "sum"),
            cpu_seconds=("cpu_seconds", "median"),
        )
        .round(1)
        .reset_index()
    )


if __name__ == "__main__":
    main()
