"""Search for hyper-parameters of an arm: many trainings, judged by validation pairs alone.

The table has one row per trial: trial, one column per key of the space, value (the best
validation ``training.monitor``) and the step it was reached at. Test pairs are not read.
"""

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ptrag.arms.registry import base_name
from ptrag.base.errors import PtragError
from ptrag.base.files import atomic, read_json, write_table
from ptrag.cells.store import CellStore
from ptrag.config import merge
from ptrag.training.checkpoint import digest, training_digest
from ptrag.training.job import TrainingJob
from ptrag.training.milestones import DivergedError
from ptrag.training.run import input_hashes, train
from ptrag.training.validation import HIGHER_IS_BETTER

SECTIONS = ("options", "model", "training")
"""Settings of a job that a search may change."""

DIVERGED = "diverged"
"""Attribute of a trial that failed by its settings; others failed since they were killed."""

logger = logging.getLogger("ptrag")


def search(
    job: TrainingJob, spec: dict[str, Any], out_tsv: str | Path, out_best: str | Path
) -> None:
    """Try ``trials`` settings, each one suggested by the trials before it (Optuna's TPE).

    A search that was killed goes on with the next trial; it suggests what an unbroken one does.
    With other data or other code it begins anew. A trial that diverges counts as one, and has no
    row in the table.

    Parameters
    ----------
    job
        The arm as it is configured; its bundle and history are those of the trial that runs.
    spec
        Section ``search`` of the configuration: ``trials``, ``seed``, ``space`` from a dotted
        key (``training.learning_rate``, ``options.topk_rag``) to ``{low, high, log}`` or
        ``{choices}``.
    out_tsv, out_best
        The table, and the best settings of the arm as YAML, to merge into the configuration.

    Raises
    ------
    PtragError
        If every trial diverges.
    """
    out_tsv = Path(out_tsv)
    work = out_tsv.with_name(f".{out_tsv.stem}")
    work.mkdir(parents=True, exist_ok=True)
    settings = {section: getattr(job, section) for section in SECTIONS}
    monitor = job.training["monitor"]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(work / "journal.log"))),
        study_name=digest(
            job.arm,
            settings,
            spec["space"],
            spec["seed"],
            input_hashes(job, CellStore(job.cells)),
            training_digest(job.arm),
        ),
        direction="maximize" if HIGHER_IS_BETTER[monitor] else "minimize",
        load_if_exists=True,
    )
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # it was killed
    while (number := len(_tried(study))) < spec["trials"]:
        study.sampler = optuna.samplers.TPESampler(seed=spec["seed"] + number)
        trial = study.ask()
        chosen = {key: _suggest(trial, key, values) for key, values in spec["space"].items()}
        began = time.monotonic()
        tried = merge(settings, _nested(chosen))
        try:
            about = _train(replace(job, seed=spec["seed"], **tried), work / "run")
        except DivergedError as error:
            trial.set_user_attr(DIVERGED, True)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            logger.info("%s: trial %d of %d: %s", job.arm, number + 1, spec["trials"], error)
            continue
        trial.set_user_attr("step", about["step"])
        study.tell(trial, about["validation"][monitor])
        logger.info(
            "%s: trial %d of %d in %.0f s, val %s %.4g with %s",
            job.arm, number + 1, spec["trials"],
            time.monotonic() - began, monitor, about["validation"][monitor], chosen,
        )  # fmt: skip
    if not _complete(study):
        raise PtragError(
            f"search: all {spec['trials']} trials diverged; lower the rates in search.space"
        )
    write_table(_table(study, spec["space"]), out_tsv)
    best = _nested(study.best_params)
    entry = best.pop("options", {}) | best
    with atomic(out_best) as part:
        override = {"arm_options": {base_name(job.arm): entry}}
        part.write_text(yaml.safe_dump({"override": override}, sort_keys=True))
    shutil.rmtree(work)


def _train(job: TrainingJob, folder: Path) -> dict[str, Any]:
    """Train once; return what the bundle says of it."""
    bundle = folder / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    train(replace(job, bundle=bundle, history=folder / "history.tsv"))
    return read_json(bundle / "bundle.json")


def _suggest(trial: optuna.Trial, key: str, values: Mapping[str, Any]) -> Any:
    if "choices" in values:
        return trial.suggest_categorical(key, values["choices"])
    whole = isinstance(values["low"], int) and isinstance(values["high"], int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(key, values["low"], values["high"], log=values.get("log", False))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


def _tried(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that ended by themselves, not by a kill."""
    trials = study.get_trials(deepcopy=False)
    return _complete(study) + [trial for trial in trials if DIVERGED in trial.user_attrs]


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])


def _table(study: optuna.Study, space: Mapping[str, Any]) -> pd.DataFrame:
    rows = [
        {"trial": i, **{key: trial.params[key] for key in space}, "value": trial.value,
         "step": trial.user_attrs["step"]}
        for i, trial in enumerate(_complete(study), start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)
