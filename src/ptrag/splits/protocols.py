"""Which pairs a model may learn from: the role of every (cell line, perturbation).

Four protocols, by what is new about the pairs that are predicted:

``unseen_combination``
    A perturbation that was measured elsewhere. Val and test perturbations are held out in the
    target line only; each of them is trained on in at least one other line.
``unseen_perturbation``
    A perturbation that was measured nowhere. Val and test perturbations are held out in every
    line. A perturbation that contains a held-out one (``A+B`` where ``A`` is held out) is trained
    on in no line either, unless the split says ``doubles: train``.
``unseen_line``
    A line of which controls alone are known. All perturbed pairs of the target line are held out:
    few of them for validation, the others for test; each perturbation is trained on elsewhere.
``unseen_double``
    Two genes at once. Val and test doubles are held out in every line, and what contains them.
    They differ in how many of their singles are trained on, 0, 1 or 2 (column ``singles``);
    ``withheld_singles`` is the share of their genes whose singles are taken out of training.

Labels are compared by their target genes (:mod:`ptrag.splits.identity`). Roles are ``train``,
``val``, ``test``, ``control`` and ``excluded`` (with the reason in a column of its own). Control
cells of every line are open, as :mod:`ptrag.cells.controls` deals them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import read_json, read_table, sha256, write_json, write_table
from ptrag.base.names import (
    CELL_LINE,
    CONTROL,
    N_CELLS,
    PAIR,
    PERTURBATION,
    REASON,
    ROLE,
    SINGLES,
    TARGETS,
)
from ptrag.genes.names import match_line
from ptrag.splits.held import Candidates, Held, withheld_genes
from ptrag.splits.identity import joined_targets, target_genes

if TYPE_CHECKING:
    from ptrag.cells.store import CellStore
    from ptrag.genes.symbols import Symbols

IN_ONE_LINE = ("unseen_combination", "unseen_line")
"""Protocols that hold out in a target line; its perturbations are measured in others."""

IN_EVERY_LINE = ("unseen_perturbation", "unseen_double")
"""Protocols that hold out in all lines: what is held out may not be retrieved."""

PROTOCOLS = (*IN_ONE_LINE, *IN_EVERY_LINE)
ROLES = ("train", "val", "test", "control", "excluded")
COLUMNS = [*PAIR, N_CELLS, ROLE, REASON, TARGETS, SINGLES]
RULES = {"doubles": "exclude", "same_vector": "error"}
"""What a split says of leaks by default: of perturbations that contain a held-out one, and of a
held-out perturbation with the vector of an indexed one."""


@dataclass(frozen=True)
class Split:
    """A split as read from ``split.tsv`` and ``split.json``.

    Attributes
    ----------
    table
        One row per pair: :data:`COLUMNS`.
    protocol
        One of :data:`PROTOCOLS`.
    target
        The target line; None where perturbations are held out in every line.
    sha256
        Checksum of ``split.tsv``.
    doubles
        ``exclude`` | ``train``: what becomes of a perturbation that contains a held-out one.
    same_vector
        ``error`` | ``report``: what it means that a held-out perturbation has the vector of one
        that is indexed.
    """

    table: pd.DataFrame
    protocol: str
    target: str | None
    sha256: str = ""
    doubles: str = RULES["doubles"]
    same_vector: str = RULES["same_vector"]

    def pairs(self, role: str) -> list[tuple[str, str]]:
        """Return the (cell line, perturbation) pairs of one role, in table order."""
        rows = self.table[self.table[ROLE] == role]
        return list(zip(rows[CELL_LINE], rows[PERTURBATION], strict=True))

    def perturbations(self, *roles: str) -> list[str]:
        """Return the perturbations that have a pair of one of ``roles``, sorted."""
        rows = self.table[self.table[ROLE].isin(roles)]
        return sorted(set(rows[PERTURBATION]))

    def targets(self, perturbation: str) -> frozenset[str]:
        """Return a perturbation's target genes: as the split knows them, else by its label."""
        return self._targets.get(perturbation) or target_genes(perturbation)

    @cached_property
    def _targets(self) -> dict[str, frozenset[str]]:
        if TARGETS not in self.table:
            return {}
        rows = self.table[self.table[PERTURBATION] != CONTROL]
        return {
            label: frozenset(genes.split("+"))
            for label, genes in zip(rows[PERTURBATION], rows[TARGETS], strict=True)
        }

    @property
    def held_out_perturbations(self) -> set[str]:
        """Perturbations that may not be candidates of any retrieval.

        None where a perturbation is held out in a target line alone: it has measured responses
        in other lines.
        """
        if self.protocol in IN_ONE_LINE:
            return set()
        return set(self.perturbations("val", "test"))


def draw_split(
    store: "CellStore",
    spec: Mapping[str, Any],
    limits: Mapping[str, int],
    name: str,
    symbols: "Symbols | None" = None,
) -> pd.DataFrame:
    """Give every pair of a store its role.

    Parameters
    ----------
    store
        The cells; only its table of pairs is read.
    spec
        ``protocol``; ``target`` (of :data:`IN_ONE_LINE`); either ``fractions``
        {val, test} of the eligible perturbations with ``seed`` (``unseen_line``: val alone, test
        is the rest), or ``lists``, a JSON file {line: {val: [...], test: [...]}} ({val, test}
        alone for :data:`IN_EVERY_LINE`); ``missing``: error | drop, for a listed perturbation
        that cannot be held out; ``doubles`` and ``same_vector`` of :data:`RULES`;
        ``withheld_singles`` (unseen_double).
    limits
        ``min_cells``: a pair with fewer cells is excluded; ``min_controls``: so are the pairs of
        a line with fewer control cells.
    name
        The split's key in the configuration, for messages.
    symbols
        Spellings and aliases of genes; without them labels are compared in capitals.

    Returns
    -------
    table
        :data:`COLUMNS`; ``table.attrs["dropped"]`` maps each listed perturbation
        that cannot be held out to the reason.

    Raises
    ------
    PtragError
        For an unknown protocol or line, impossible fractions, or listed genes
        that are missing under ``missing: error``.
    """
    where = f"split '{name}'"
    protocol, target = _protocol_and_target(store.lines, spec, where)
    table = store.pairs[[*PAIR, N_CELLS]].reset_index(drop=True)
    table = table.astype({CELL_LINE: str, PERTURBATION: str, N_CELLS: int})
    table[ROLE], table[REASON] = "train", ""
    table[TARGETS] = [joined_targets(label, symbols) for label in table[PERTURBATION]]
    control = table[PERTURBATION] == CONTROL
    table.loc[control, [ROLE, TARGETS]] = "control", ""

    unusable = _unusable(table, limits)
    usable = table[~control & ~np.logical_or.reduce([*unusable.values()])]
    candidates = Candidates(table[~control], usable, protocol, target, where, symbols)
    if spec.get("lists"):
        held = candidates.listed(spec["lists"], spec.get("missing", "error"))
    else:
        held = candidates.drawn(spec["fractions"], spec.get("seed", 0))
    _assign(table, held, candidates)
    for reason, rows in unusable.items():
        _exclude(table, rows, reason)
    _close(table, held, spec)
    table[SINGLES] = _singles(table)
    _check(table, where, limits)
    table.attrs |= {"dropped": held.dropped, "target": target}
    return table


def write_split(table: pd.DataFrame, spec: Mapping[str, Any], out_tsv: str | Path) -> None:
    """Write ``split.tsv`` and, beside it, ``split.json``.

    The JSON holds protocol, target, the rules on leaks, the spec, the table's sha256, the number
    of pairs per role, of val and test pairs of doubles per number of singles trained on, of
    excluded pairs per reason, and the dropped names.
    """
    out_tsv = Path(out_tsv)
    write_table(table[COLUMNS], out_tsv)
    rows = {role: table[table[ROLE] == role] for role in ROLES}
    write_json(
        {
            "protocol": spec["protocol"],
            "target": table.attrs.get("target"),
            **{rule: spec.get(rule, default) for rule, default in RULES.items()},
            "spec": dict(spec),
            "sha256": sha256(out_tsv),
            "counts": {role: len(rows[role]) for role in ROLES},
            SINGLES: {role: _counts(rows[role][SINGLES].dropna()) for role in ("val", "test")},
            "excluded": _counts(rows["excluded"][REASON]),
            "dropped": dict(table.attrs.get("dropped", {})),
        },
        out_tsv.with_suffix(".json"),
    )


def read_split(path: str | Path) -> Split:
    """Read a split; a table that no longer matches its ``split.json`` is an error."""
    path = Path(path)
    facts = read_json(path.with_suffix(".json"))
    checksum = sha256(path)
    if checksum != facts["sha256"]:
        raise PtragError(
            f"{path}: changed after it was drawn (its sha256 {checksum[:12]}... is not the "
            f"{facts['sha256'][:12]}... of {path.with_suffix('.json').name}); delete it"
        )
    text = dict.fromkeys([*PAIR, REASON, TARGETS], str)
    table = read_table(path, dtype=text | {SINGLES: "Int64"})
    rules = [facts[rule] for rule in RULES]
    return Split(table, facts["protocol"], facts["target"], checksum, *rules)


def _protocol_and_target(
    lines: list[str], spec: Mapping[str, Any], where: str
) -> tuple[str, str | None]:
    protocol, target = spec.get("protocol"), spec.get("target")
    target = target and (match_line(target, lines) or target)
    if protocol not in PROTOCOLS:
        raise PtragError(
            f"{where}: unknown protocol {protocol!r}; {did_you_mean(protocol, PROTOCOLS)}"
        )
    if protocol in IN_ONE_LINE:
        if target not in lines:
            raise PtragError(
                f"{where}: target line {target!r} is not in the data; {did_you_mean(target, lines)}"
            )
        if len(lines) < 2:
            raise PtragError(
                f"{where}: {protocol} needs at least two cell lines, the data has only "
                f"{target!r}; use protocol unseen_perturbation"
            )
    elif target is not None:
        raise PtragError(f"{where}: {protocol} holds out in every line; remove target {target!r}")
    if spec.get("withheld_singles") and protocol != "unseen_double":
        raise PtragError(f"{where}: withheld_singles belongs to unseen_double; remove it")
    if bool(spec.get("lists")) == bool(spec.get("fractions")):
        raise PtragError(f"{where}: give either `fractions` or `lists`, not both or neither")
    return protocol, target


def _unusable(table: pd.DataFrame, limits: Mapping[str, int]) -> dict[str, pd.Series]:
    """Perturbed pairs that no role may have, by reason."""
    few, controls = limits["min_cells"], limits["min_controls"]
    control = table[PERTURBATION] == CONTROL
    with_controls = table[CELL_LINE][control & (table[N_CELLS] >= controls)]
    return {
        f"fewer than {few} cells": ~control & (table[N_CELLS] < few),
        f"line has fewer than {controls} controls": ~control
        & ~table[CELL_LINE].isin(with_controls),
    }


def _assign(table: pd.DataFrame, held: Held, candidates: Candidates) -> None:
    """Set the roles of what is held out, and of what cannot be and may not be trained on."""
    here = candidates.here(table) & (table[ROLE] == "train")
    for role, targets in (("val", held.val), ("test", held.test)):
        table.loc[here & table[TARGETS].isin(targets), ROLE] = role
    for label, reason in held.dropped.items():
        targets = joined_targets(label, candidates.symbols)
        _exclude(table, here & (table[TARGETS] == targets), reason)
    if candidates.protocol == "unseen_line":
        rest = here & (table[ROLE] == "train")
        alone = rest & ~table[TARGETS].isin(candidates.elsewhere)
        _exclude(table, alone, "trained on in no other line")
        _exclude(table, rest & ~alone, "not listed")


def _close(table: pd.DataFrame, held: Held, spec: Mapping[str, Any]) -> None:
    """Take out of training what would tell of perturbations that are held out in every line."""
    in_every_line = spec["protocol"] in IN_EVERY_LINE
    if in_every_line and spec.get("doubles", RULES["doubles"]) == "exclude":
        _exclude(table, _containing(table, held), "contains a held-out perturbation")
    if share := spec.get("withheld_singles"):
        withheld = withheld_genes(held, share, spec.get("seed", 0))
        single = table[TARGETS].isin(withheld) & (table[ROLE] == "train")
        _exclude(table, single, "single of a held-out double, withheld")


def _exclude(table: pd.DataFrame, rows: pd.Series, reason: str) -> None:
    table.loc[rows, [ROLE, REASON]] = "excluded", reason


def _containing(table: pd.DataFrame, held: Held) -> pd.Series:
    """Whether each pair would be trained on and perturbs all of a held-out one's genes and more."""
    closed = [set(targets.split("+")) for targets in held.val | held.test]
    containing = {
        targets
        for targets in set(table[TARGETS])
        if any(genes < set(targets.split("+")) for genes in closed)
    }
    return table[TARGETS].isin(containing) & (table[ROLE] == "train")


def _singles(table: pd.DataFrame) -> pd.Series:
    """Of how many genes of every double the single is trained on, in any line."""
    trained = set(table[TARGETS][table[ROLE] == "train"])
    genes = table[TARGETS].str.split("+")
    count = genes.map(lambda own: sum(gene in trained for gene in own))
    return count.where(genes.str.len() > 1).astype("Int64")


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(n) for value, n in values.value_counts().items()}


def _check(table: pd.DataFrame, where: str, limits: Mapping[str, int]) -> None:
    for role in ("train", "test"):
        if not (table[ROLE] == role).any():
            raise PtragError(
                f"{where}: no {role} pair is left (pairs with fewer than {limits['min_cells']} "
                f"cells and lines with fewer than {limits['min_controls']} controls are excluded); "
                "lower cells.min_cells or cells.min_controls, or change the split"
            )
