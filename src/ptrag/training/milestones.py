"""What happens between training steps: averaging, validation, history, checkpoints, stopping."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch

from ptrag.base.errors import PtragError
from ptrag.base.logs import ON_TERMINAL
from ptrag.base.plateau import PATIENCE, still_improving
from ptrag.base.progress import duration
from ptrag.training.averaging import WeightAverage
from ptrag.training.checkpoint import save_checkpoint
from ptrag.training.job import TrainingJob
from ptrag.training.module import TrainingModule
from ptrag.training.validation import HIGHER_IS_BETTER

logger = logging.getLogger("ptrag")

CHECK_EVERY = 50  # steps between looks at the losses: on a GPU each look waits for it
SPEAK_SECONDS = 300  # between words on the terminal
EARLY = 5  # steps after which the log has its first estimate
LOG_SECONDS = 20  # between lines of the log where validations are further apart
SAVE_SECONDS = 300  # between checkpoints where validations are further apart


class DivergedError(PtragError):
    """A loss or a validation value of a training is no finite number."""


class Milestones(lightning.Callback):
    """Average, validate, log, keep the best weights, write ``last.ckpt`` and stop at the plateau.

    Parameters
    ----------
    job
        What is trained.
    average
        The averaged weights, which are validated and kept.
    validate
        Returns the validation metrics of a network, pair by pair.
    groups
        Perturbation of each validation pair, for an arm with an expert: its untrained weights,
        which predict what the expert does, give way only to a gain of more than one standard
        error over perturbations, and to no loss in any other metric. None: any gain counts.
    fingerprint
        What the saved state belongs to.
    state
        State to go on from, or None.

    Attributes
    ----------
    history
        [step, split, metric, value] of all validations; a step counts updates done.
    seconds
        [step, seconds of training and validation up to then] of all validations, over all
        starts of a training that was interrupted.
    best
        ``step``, ``value`` of the monitored metric, ``weights`` (what is not frozen) and
        ``start``, the metrics of every pair before training. The published training takes its
        last weights, of an arm without an expert.
    """

    def __init__(
        self,
        job: TrainingJob,
        average: WeightAverage,
        validate: Callable[[torch.nn.Module], dict[str, np.ndarray]],
        groups: Sequence[str] | None,
        fingerprint: str,
        state: dict[str, Any] | None,
    ) -> None:
        self.name, self.training = job.name, job.training
        self.average, self.validate, self.groups = average, validate, groups
        self.checkpoint, self.fingerprint = job.checkpoint, fingerprint
        self.history: list[list[Any]] = state["history"] if state else []
        self.seconds: list[list[float]] = state["seconds"] if state else []
        self.best: dict[str, Any] | None = state["best"] if state else None
        self.done = state["done"] if state else 0
        self._clock = self._saved = self._spoken = self._logged = time.monotonic()
        self._begun = self._clock - (state["spent"] if state else 0.0)
        self._counted = self._first = self.done

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or validation is on its plateau by ``patience``."""
        if self.done >= self.training["max_steps"]:
            return True
        patience = self.training["patience"]
        if patience is None or self.training["published"]:
            return False
        return not self.still_improving(patience)

    def still_improving(self, patience: int = PATIENCE) -> bool:
        """Whether the monitored metric has not reached its plateau (:mod:`ptrag.base.plateau`)."""
        return still_improving(self._curve(), patience)

    def _curve(self) -> list[float]:
        """Return the monitored metric of all validations, so that less is better."""
        monitor = self.training["monitor"]
        sign = -1 if HIGHER_IS_BETTER[monitor] else 1
        return [sign * row[3] for row in self.history if row[1:3] == ["val", monitor]]

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        """Bring the average to the device of the network, and validate what is not yet trained."""
        self.average.network.to(module.device)
        if self.best is None:
            self._validate()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,
        outputs: Any,
        batch: Any,
        index: int,
    ) -> None:
        """Do what is due after this step."""
        self.done = module.step + 1
        self.average.update(module.network, self.done)
        due = self.done % self.training["validate_every"] == 0
        last = self.done == self.training["max_steps"]
        if due or last or self.done % CHECK_EVERY == 0:
            self._check(module)
        if due or last:
            self._milestone(trainer, module)
        elif (
            self.done == self._first + CHECK_EVERY
            or time.monotonic() - self._spoken > SPEAK_SECONDS
        ):
            self._speak(terminal=True)
        elif self.done == self._first + EARLY or time.monotonic() - self._logged > LOG_SECONDS:
            self._speak(terminal=False)
        # the losses of the other processes since the last milestone are not known here
        late = trainer.world_size == 1 and time.monotonic() - self._saved > SAVE_SECONDS
        if trainer.is_global_zero and (due or last or late):
            self.save(module)
        if trainer.received_sigterm:
            if trainer.world_size == 1:
                self.save(module)
            logger.info("%s: stopped at step %d; a rerun goes on from there", self.name, self.done)
            raise SystemExit(143)
        trainer.should_stop = self.finished

    def save(self, module: TrainingModule) -> None:
        """Write ``last.ckpt``."""
        state = {
            "done": self.done,
            "network": module.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": module.optimizers(use_pl_optimizer=False).state_dict(),
            "losses": module.losses,
            "history": self.history,
            "seconds": self.seconds,
            "spent": time.monotonic() - self._begun,
            "best": self.best,
        }
        save_checkpoint(self.checkpoint, self.fingerprint, state)
        self._saved = time.monotonic()

    def _speak(self, terminal: bool) -> None:
        """Say how far the training is and how long it still takes, on the terminal too or not."""
        logger.info(
            "%s: step %d of %d, about %s left", self.name, self.done, self.training["max_steps"],
            self._left(self._pace()), extra=ON_TERMINAL if terminal else None,
        )  # fmt: skip
        self._logged = time.monotonic()
        if terminal:
            self._spoken = self._logged

    def _check(self, module: TrainingModule) -> None:
        losses = torch.stack(module.losses)[:, 0].cpu().numpy()
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            step = self.done - len(losses) + int(wrong[0]) + 1
            raise DivergedError(
                f"{self.name}: the loss is {losses[wrong[0]]} at step {step}; lower "
                "training.learning_rate or training.gradient_clip"
            )

    def _milestone(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        mean = torch.stack(module.losses).double().mean(0)
        means = trainer.strategy.reduce(mean, reduce_op="mean").tolist()
        module.losses.clear()
        for metric, value in zip(("loss", "energy", "gate"), means, strict=True):
            self.history.append([self.done, "train", metric, value])
        self._log(means[0], self._validate())

    def _validate(self) -> float:
        """Score, keep the weights if they are the best so far, and return the monitored value."""
        metrics = self.validate(self.average.network)
        for metric, values in metrics.items():
            self.history.append([self.done, "val", metric, float(values.mean())])
        values = metrics[self.training["monitor"]]
        value = float(values.mean())
        if not math.isfinite(value):
            raise DivergedError(
                f"{self.name}: validation {self.training['monitor']} is {value} at step "
                f"{self.done}; lower training.learning_rate"
            )
        if self._better(metrics):
            weights = {k: p.detach().clone() for k, p in trainable(self.average.network).items()}
            start = self.best["start"] if self.best else {k: v.tolist() for k, v in metrics.items()}
            self.best = {"step": self.done, "value": value, "weights": weights, "start": start}
        self.seconds.append([self.done, time.monotonic() - self._begun])
        return value

    def _better(self, metrics: dict[str, np.ndarray]) -> bool:
        if self.best is None or (self.training["published"] and self.groups is None):
            return True
        monitor = self.training["monitor"]
        signs = {metric: 1 if higher else -1 for metric, higher in HIGHER_IS_BETTER.items()}
        if signs[monitor] * (float(metrics[monitor].mean()) - self.best["value"]) <= 0:
            return False
        if self.groups is None:
            return True
        start = self.best["start"]
        gains = {
            metric: signs[metric] * (values - start[metric]) for metric, values in metrics.items()
        }
        return clear(gains[monitor], self.groups) and all(
            gain.mean() >= 0 for gain in gains.values()
        )

    def _log(self, loss: float, value: float) -> None:
        pace = self._pace()
        cells = self.training["sets"] * self.training["set_size"] / pace
        logger.info(
            "%s: step %d of %d, loss %.4g, val %s %.4g%s, %.0f cells/s, %s left",
            self.name, self.done, self.training["max_steps"], loss, self.training["monitor"], value,
            " (best)" if self._bettered() else "", cells, self._left(pace),
        )  # fmt: skip
        self._clock, self._counted = time.monotonic(), self.done
        self._logged = self._clock

    def _bettered(self) -> bool:
        """Whether the latest weights are kept for a better value, and not for being the last."""
        *before, latest = self._curve()
        return self.best["step"] == self.done and latest < min(before, default=math.inf)

    def _pace(self) -> float:
        """Return the seconds that a step takes, since the last milestone."""
        return (time.monotonic() - self._clock) / (self.done - self._counted)

    def _left(self, pace: float) -> str:
        return duration(pace * (self.training["max_steps"] - self.done))


def clear(gain: np.ndarray, groups: Sequence[str]) -> bool:
    """Whether the mean gain of pairs is above its standard error over groups of them."""
    means = pd.Series(gain).groupby(list(groups)).mean()
    return len(means) > 1 and means.mean() > means.sem()


def trainable(network: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that are not frozen."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}
