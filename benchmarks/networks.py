"""Networks on the screens of the contest: trained as the workflow trains them."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from screens import Screen

from ptrag.config import arm_options, arm_settings, merge
from ptrag.prediction.loading import load_bundle
from ptrag.prediction.prediction import Predictor
from ptrag.training.job import TrainingJob
from ptrag.training.run import train

FACTS = ["step", "last_step", "plateau", "validation", "cpu_seconds"]
"""Of a training: the step whose weights are kept, the last step, whether it is on its plateau, the
validation value (``training.monitor``) of the weights that are kept, CPU seconds."""


class Trained(NamedTuple):
    """A network that was trained.

    Attributes
    ----------
    predictor
        Of any pair.
    facts
        {name: value} of :data:`FACTS`.
    """

    predictor: Predictor
    facts: dict[str, float]


def trained(
    screen: Screen, config: dict[str, Any], arm: str, training: dict[str, Any], folder: Path
) -> Trained:
    """Train an arm on a screen.

    Parameters
    ----------
    screen
        One that has cells.
    config
        ``config.yaml``.
    arm
        Its name, such as ``ptrag@shuffled``.
    training
        What differs from the section ``training`` of the configuration.
    folder
        Where the bundle is written.
    """
    options = arm_options(config, arm)
    reads = options["rag"] or options["use_genept"]
    job = TrainingJob(
        arm=arm, seed=screen.seed, cells=screen.folder / "cells.h5ad",
        split=screen.folder / "split.tsv", embedding=screen.vectors_file(arm) if reads else None,
        index=screen.index_folder(arm) if options["rag"] else None, options=options,
        model=arm_settings(config, arm, "model"),
        training=merge(arm_settings(config, arm, "training"), training),
        bundle=folder / "bundle", history=folder / "history.tsv",
    )  # fmt: skip
    begun = time.process_time()
    train(job)
    seconds = time.process_time() - begun
    bundle = load_bundle(job.bundle)
    last = pd.read_csv(job.history, sep="\t")["step"].max()
    about, monitor = bundle.about, job.training["monitor"]
    values = about["step"], last, about["plateau"], about["validation"][monitor], seconds
    return Trained(bundle.predictor, dict(zip(FACTS, values, strict=True)))


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


def costs(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return what trainings took, from one row per training.

    Parameters
    ----------
    runs
        Columns ``by`` and :data:`FACTS`.
    by
        What a row of the table is: trainings that differ in the rest are put together.

    Returns
    -------
    DataFrame
        ``by``, the steps kept, the last steps, how many are on their plateau, and the median of
        the CPU seconds; beside them the validation values.
    """
    return (
        runs.groupby(by, sort=False)
        .agg(
            kept=("step", lambda steps: " ".join(map(str, steps))),
            last=("last_step", lambda steps: " ".join(map(str, steps))),
            on_plateau=("plateau", "sum"),
            trainings=("plateau", "size"),
            validation=("validation", lambda values: " ".join(f"{value:.4f}" for value in values)),
            cpu_seconds=("cpu_seconds", "median"),
        )
        .round(1)
        .reset_index()
    )
