"""What a simulated screen is made of: ``datasets.*.simulate`` of the configuration."""

from dataclasses import dataclass
from typing import Literal, get_args

from ptrag.base.errors import PtragError, did_you_mean

Kind = Literal["programmes", "network"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Where responses come from: programmes that lines switch, or steady states of a network."""


@dataclass(frozen=True)
class Knobs:
    """The settings of one screen; a knob that a kind has no use for is refused.

    Attributes
    ----------
    lines
        Names of the cell lines.
    n_perturbations, n_genes
        Single perturbations of every line, and measured genes.
    cells_per_pair, controls_per_line, batches
        Mean number of cells of a pair, control cells of a line, batches of a line.
    text_signal
        How much gene texts say of responses, from 0 (nothing) to 1 (all they can).
    context_signal
        How differently lines respond, from 0 to 1.
    systematic_shift
        Response that all perturbations of a line share, from 0 to 1.
    gene_text
        The table of symbols and GO terms.
    seed
        Of all draws.
    kind
        One of :data:`KINDS`.
    n_doubles
        Further perturbations of two genes each, ``A+B``; of a network alone.
    """

    lines: tuple[str, ...]
    n_perturbations: int
    n_genes: int
    cells_per_pair: int
    controls_per_line: int
    batches: int
    text_signal: float
    context_signal: float
    systematic_shift: float
    gene_text: str
    seed: int
    kind: Kind = "programmes"
    n_doubles: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PtragError(f"simulate.kind: {self.kind!r}; {did_you_mean(self.kind, KINDS)}")
        for knob in ("text_signal", "context_signal", "systematic_shift"):
            if not 0 <= (value := getattr(self, knob)) <= 1:
                raise PtragError(f"simulate.{knob}: {value} is not between 0 and 1")
        for knob in ("cells_per_pair", "controls_per_line", "batches"):
            if (value := getattr(self, knob)) < 1:
                raise PtragError(f"simulate.{knob}: {value} is not at least 1")
        if self.n_perturbations < 2 or self.n_genes < 20 or not self.lines:
            raise PtragError(
                "simulate: needs at least 1 line, 2 perturbations and 20 genes; "
                f"got {len(self.lines)}, {self.n_perturbations} and {self.n_genes}"
            )
        if self.n_doubles and self.kind != "network":
            raise PtragError(
                f"simulate.n_doubles: {self.n_doubles}, but kind {self.kind!r} does not say how "
                "two knock-downs act together; use kind network, or set n_doubles to 0"
            )
        pairs = self.n_perturbations * (self.n_perturbations - 1) // 2
        if not 0 <= self.n_doubles <= pairs:
            raise PtragError(
                f"simulate.n_doubles: {self.n_doubles} is not between 0 and the {pairs} pairs of "
                f"{self.n_perturbations} perturbations"
            )
