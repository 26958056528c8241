"""Which pairs a model may learn from: the role of every (cell line, perturbation).

Two protocols:

``unseen_combination``
    val and test perturbations are held out in the target line only; each of
    them is trained on in at least one other line.
``unseen_perturbation``
    val and test perturbations are held out in every line. A perturbation is a
    label: a double ``A+B`` may be trained on while ``A`` alone is held out.

Roles are ``train``, ``val``, ``test``, ``control`` and ``excluded`` (with the
reason in a column of its own). Control cells of every line are always open.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import read_json, read_table, sha256, write_json, write_table
from ptrag.base.names import CELL_LINE, CONTROL, N_CELLS

if TYPE_CHECKING:
    from ptrag.cells.store import CellStore

PROTOCOLS = ("unseen_combination", "unseen_perturbation")
ROLES = ("train", "val", "test", "control", "excluded")
COLUMNS = ["cell_line", "perturbation", "n_cells", "role", "reason"]

logger = logging.getLogger("ptrag")


class Held(NamedTuple):
    """Perturbations held out, and those listed that cannot be (with the reason)."""

    val: list[str]
    test: list[str]
    dropped: dict[str, str]


@dataclass(frozen=True)
class Split:
    """A split as read from ``split.tsv`` and ``split.json``.

    Attributes
    ----------
    table
        One row per pair: cell_line, perturbation, n_cells, role, reason.
    protocol
        ``unseen_combination`` or ``unseen_perturbation``.
    target
        The target line; None under ``unseen_perturbation``.
    sha256
        Checksum of ``split.tsv``.
    """

    table: pd.DataFrame
    protocol: str
    target: str | None
    sha256: str = ""

    def pairs(self, role: str) -> list[tuple[str, str]]:
        """Return the (cell line, perturbation) pairs of one role, in table order."""
        rows = self.table[self.table["role"] == role]
        return list(zip(rows["cell_line"], rows["perturbation"], strict=True))

    def perturbations(self, *roles: str) -> list[str]:
        """Return the perturbations that have a pair of one of ``roles``, sorted."""
        rows = self.table[self.table["role"].isin(roles)]
        return sorted(set(rows["perturbation"]))

    @property
    def held_out_perturbations(self) -> set[str]:
        """Perturbations that may not be candidates of any retrieval.

        Under ``unseen_combination`` there are none: a name held out in the
        target line alone has measured responses in other lines.
        """
        if self.protocol == "unseen_combination":
            return set()
        return set(self.perturbations("val", "test"))


def draw_split(
    store: "CellStore", spec: Mapping[str, Any], limits: Mapping[str, int], name: str
) -> pd.DataFrame:
    """Give every pair of a store its role.

    Parameters
    ----------
    store
        The cells; only its table of pairs is read.
    spec
        ``protocol``; ``target`` (unseen_combination); either ``fractions``
        {val, test} of the eligible perturbations with ``seed``, or ``lists``, a
        JSON file {line: {val: [...], test: [...]}} ({val, test} alone under
        unseen_perturbation); ``missing``: error | drop, for a listed gene that
        cannot be held out.
    limits
        ``min_cells``: a pair with fewer cells is excluded; ``min_controls``: so are the pairs of
        a line with fewer control cells.
    name
        The split's key in the configuration, for messages.

    Returns
    -------
    table
        :data:`COLUMNS`; ``table.attrs["dropped"]`` maps each listed perturbation
        that is not in the data to the reason.

    Raises
    ------
    PtragError
        For an unknown protocol or line, impossible fractions, or listed genes
        that are missing under ``missing: error``.
    """
    where = f"split '{name}'"
    protocol, target = _protocol_and_target(store.lines, spec, where)
    table = store.pairs[["cell_line", "perturbation", "n_cells"]].reset_index(drop=True)
    table = table.astype({"cell_line": str, "perturbation": str, "n_cells": int})
    treated = table["perturbation"] != CONTROL
    min_cells, min_controls = limits["min_cells"], limits["min_controls"]
    small = treated & (table[N_CELLS] < min_cells)
    controls = table[~treated & (table[N_CELLS] >= min_controls)][CELL_LINE]
    loose = treated & ~table[CELL_LINE].isin(controls)
    usable = table[treated & ~small & ~loose]
    if spec.get("lists"):
        held = _listed(table[treated], usable, protocol, target, spec, where)
    else:
        held = _drawn(_eligible(usable, protocol, target), spec, where)

    role = pd.Series("train", index=table.index)
    reason = pd.Series("", index=table.index)
    here = table["cell_line"].eq(target) if target else pd.Series(True, index=table.index)
    role[here & table["perturbation"].isin(held.val)] = "val"
    role[here & table["perturbation"].isin(held.test)] = "test"
    lost = here & table["perturbation"].isin(list(held.dropped))
    role[lost], reason[lost] = "excluded", table["perturbation"][lost].map(held.dropped)
    role[small], reason[small] = "excluded", f"fewer than {min_cells} cells"
    role[loose], reason[loose] = "excluded", f"line has fewer than {min_controls} controls"
    role[~treated] = "control"
    table["role"], table["reason"] = role, reason
    _check(table, where, limits)
    table.attrs["dropped"] = held.dropped
    return table


def write_split(table: pd.DataFrame, spec: Mapping[str, Any], out_tsv: str | Path) -> None:
    """Write ``split.tsv`` and, beside it, ``split.json``.

    The JSON holds protocol, target, the spec, the table's sha256, the number of
    pairs per role and of excluded pairs per reason, and the dropped names.
    """
    out_tsv = Path(out_tsv)
    write_table(table[COLUMNS], out_tsv)
    excluded = table[table["role"] == "excluded"]
    write_json(
        {
            "protocol": spec["protocol"],
            "target": spec.get("target"),
            "spec": dict(spec),
            "sha256": sha256(out_tsv),
            "counts": {role: int((table["role"] == role).sum()) for role in ROLES},
            "excluded": {str(k): int(n) for k, n in excluded["reason"].value_counts().items()},
            "dropped": dict(table.attrs.get("dropped", {})),
        },
        out_tsv.with_suffix(".json"),
    )


def read_split(path: str | Path) -> Split:
    """Read a split; a table that no longer matches its ``split.json`` is an error."""
    path = Path(path)
    facts = read_json(path.with_suffix(".json"))
    found = sha256(path)
    if found != facts["sha256"]:
        raise PtragError(
            f"{path}: changed after it was drawn (its sha256 {found[:12]}... is not the "
            f"{facts['sha256'][:12]}... of {path.with_suffix('.json').name}); delete it"
        )
    table = read_table(path, dtype={"cell_line": str, "perturbation": str})
    return Split(table, facts["protocol"], facts["target"], found)


def _protocol_and_target(
    lines: list[str], spec: Mapping[str, Any], where: str
) -> tuple[str, str | None]:
    protocol, target = spec.get("protocol"), spec.get("target")
    if protocol not in PROTOCOLS:
        raise PtragError(
            f"{where}: unknown protocol {protocol!r}; {did_you_mean(protocol, PROTOCOLS)}"
        )
    if protocol == "unseen_combination":
        if target not in lines:
            raise PtragError(
                f"{where}: target line {target!r} is not in the data; {did_you_mean(target, lines)}"
            )
        if len(lines) < 2:
            raise PtragError(
                f"{where}: unseen_combination needs at least two cell lines, the data has only "
                f"{target!r}; use protocol unseen_perturbation"
            )
    elif target is not None:
        raise PtragError(
            f"{where}: unseen_perturbation holds out in every line; remove target {target!r}"
        )
    if bool(spec.get("lists")) == bool(spec.get("fractions")):
        raise PtragError(f"{where}: give either `fractions` or `lists`, not both or neither")
    return protocol, target


def _eligible(usable: pd.DataFrame, protocol: str, target: str | None) -> list[str]:
    """Perturbations that may be held out, sorted."""
    if protocol == "unseen_perturbation":
        return sorted(set(usable["perturbation"]))
    there = usable["cell_line"] == target
    return sorted(set(usable["perturbation"][there]) & set(usable["perturbation"][~there]))


def _drawn(eligible: list[str], spec: Mapping[str, Any], where: str) -> Held:
    fractions = spec["fractions"]
    val, test = float(fractions.get("val", 0)), float(fractions.get("test", 0))
    if val < 0 or test <= 0 or val + test >= 1:
        raise PtragError(
            f"{where}: fractions val {val:g} and test {test:g} must be >= 0 and > 0 "
            "and add up to less than 1"
        )
    n_val = max(1, round(val * len(eligible))) if val else 0
    n_test = max(1, round(test * len(eligible)))
    if len(eligible) < 2 or n_val + n_test >= len(eligible):
        raise PtragError(
            f"{where}: only {len(eligible)} perturbations can be held out (enough cells"
            + (", measured in the target and another line" if spec.get("target") else "")
            + f"), too few for {n_val} val and {n_test} test; "
            "lower cells.min_cells or the fractions"
        )
    order = np.random.default_rng(spec.get("seed", 0)).permutation(len(eligible))
    names = [eligible[i] for i in order]
    return Held(sorted(names[:n_val]), sorted(names[n_val : n_val + n_test]), {})


def _listed(
    measured: pd.DataFrame,
    usable: pd.DataFrame,
    protocol: str,
    target: str | None,
    spec: Mapping[str, Any],
    where: str,
) -> Held:
    lists = _read_lists(spec["lists"], target, where)
    val, test = list(lists.get("val", [])), list(lists.get("test", []))
    if both := sorted(set(val) & set(test)):
        raise PtragError(f"{where}: {spec['lists']}: {both[0]!r} is in val and in test")
    here = measured if target is None else measured[measured["cell_line"] == target]
    elsewhere = (
        set() if target is None else set(usable["perturbation"][usable["cell_line"] != target])
    )
    dropped = {}
    for gene in val + test:
        if gene not in set(here["perturbation"]):
            dropped[gene] = "listed but not in the data" + (f" of {target}" if target else "")
        elif protocol == "unseen_combination" and gene not in elsewhere:
            dropped[gene] = "listed but trained on in no other line"
    if dropped and spec.get("missing", "error") == "error":
        gene, why = next(iter(dropped.items()))
        near = did_you_mean(gene, sorted(set(measured["perturbation"])))
        raise PtragError(
            f"{where}: {spec['lists']}: {gene!r} is {why} ({len(dropped)} of "
            f"{len(val) + len(test)} such); {near} `missing: drop` leaves them out"
        )
    if dropped:
        logger.info(
            "%s: %d of %d listed perturbations dropped", where, len(dropped), len(val + test)
        )
    keep = [[gene for gene in genes if gene not in dropped] for genes in (val, test)]
    return Held(keep[0], keep[1], dropped)


def _read_lists(path: str | Path, target: str | None, where: str) -> Mapping[str, list[str]]:
    if not Path(path).is_file():
        raise PtragError(f"{where}: lists: no file {path}")
    lists = read_json(path)
    if target is not None:
        if target not in lists:
            raise PtragError(
                f"{where}: {path} has no lists for line {target!r}; {did_you_mean(target, lists)}"
            )
        lists = lists[target]
    if not set(lists) <= {"val", "test"}:
        raise PtragError(
            f"{where}: {path}: expected the keys val and test, found {sorted(lists)[:4]}"
        )
    return lists


def _check(table: pd.DataFrame, where: str, limits: Mapping[str, int]) -> None:
    for role in ("train", "test"):
        if not (table["role"] == role).any():
            raise PtragError(
                f"{where}: no {role} pair is left (pairs with fewer than {limits['min_cells']} "
                f"cells and lines with fewer than {limits['min_controls']} controls are excluded); "
                "lower cells.min_cells or cells.min_controls, or change the split"
            )
