"""What one training needs: an arm, a seed, its inputs, its settings, and where it writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptrag.genes.vectors import Provider


@dataclass(frozen=True)
class TrainingJob:
    """One neural arm to train with one seed.

    Attributes
    ----------
    arm, seed
        The arm's name, such as ``ptrag@shuffled``, and all that its random draws depend on.
    cells, split
        ``cells.h5ad`` and ``split.tsv``.
    embedding
        h5ad of vectors, for arms that use them, else None.
    index
        Folder of the index, for arms that retrieve, else None.
    options
        The arm's entry of ``arm_options``.
    model, training
        The sections of the configuration as the arm has them.
    bundle, history
        The folder and the table to write.
    provider
        Where new genes get their vectors from; None: the bundle knows no others.
    fitted, expected
        The file of the arm's fitted expert, and that of what it expects of the pairs; None for an
        arm without, or where it is to be fitted here.
    """

    arm: str
    seed: int
    cells: Path
    split: Path
    embedding: Path | None
    index: Path | None
    options: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any]
    bundle: Path
    history: Path
    provider: Provider | None = None
    fitted: Path | None = None
    expected: Path | None = None

    @classmethod
    def of_rule(cls, rule: Any, **facts: Any) -> "TrainingJob":
        """Return the job of a workflow rule: inputs, arm and settings as the rule names them.

        Parameters
        ----------
        rule
            Snakemake's object of a script.
        facts
            ``seed``, ``bundle``, ``history`` and ``provider``.
        """
        embedding, index, fitted, expected = (
            list(rule.input.get(key, [])) for key in ("embedding", "index", "fitted", "expected")
        )
        return cls(
            arm=rule.wildcards.arm,
            cells=Path(rule.input.cells),
            split=Path(rule.input.split),
            embedding=Path(embedding[0]) if embedding else None,
            index=Path(index[0]).parent if index else None,
            fitted=Path(fitted[0]) if fitted else None,
            expected=Path(expected[0]) if expected else None,
            options=rule.params.options,
            model=rule.params.model,
            training=rule.params.training,
            **facts,
        )

    @property
    def name(self) -> str:
        """Arm and seed, for messages."""
        return f"{self.arm} seed {self.seed}"

    @property
    def checkpoint(self) -> Path:
        """``last.ckpt`` of the unfinished training."""
        return self.bundle.parent / "checkpoints" / "last.ckpt"

    @property
    def seconds(self) -> Path:
        """``seconds.tsv`` beside the history: the wall time spent."""
        return self.history.with_name("seconds.tsv")

    @property
    def sparsity(self) -> float:
        """λ of the mean gate in the loss."""
        weight = self.options.get("gumbel_sparsity_weight", 0.0)
        return weight * self.options.get("gumbel_sparsity_loss", False)
