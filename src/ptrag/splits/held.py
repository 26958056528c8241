"""Which perturbations are held out: those that can be, and the val and test ones among them.

Perturbations are compared by their target genes (:mod:`ptrag.splits.identity`), so that two labels
of one gene are held out together.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.files import read_json
from ptrag.base.names import CELL_LINE, PERTURBATION, TARGETS
from ptrag.genes.names import match_line
from ptrag.genes.symbols import Symbols
from ptrag.splits.identity import joined_targets

logger = logging.getLogger("ptrag")


class Held(NamedTuple):
    """What is held out.

    Attributes
    ----------
    val, test
        Target genes, joined, of the perturbations held out.
    dropped
        {listed perturbation that cannot be held out: reason}.
    """

    val: set[str]
    test: set[str]
    dropped: dict[str, str]


@dataclass(frozen=True)
class Candidates:
    """The pairs that perturbations are held out of, under one protocol.

    Attributes
    ----------
    measured, usable
        Perturbed pairs, and those with enough cells and controls; with ``targets``.
    protocol, target
        Those of the split.
    where
        The split in words, for messages.
    symbols
        Spellings and aliases of genes, or None.
    """

    measured: pd.DataFrame
    usable: pd.DataFrame
    protocol: str
    target: str | None
    where: str
    symbols: Symbols | None

    def here(self, pairs: pd.DataFrame) -> pd.Series:
        """Whether each pair is of a line in which perturbations are held out."""
        if self.target is None:
            return pd.Series(True, index=pairs.index)
        return pairs[CELL_LINE].eq(self.target)

    @cached_property
    def elsewhere(self) -> set[str]:
        """Target genes of what is usable in lines in which nothing is held out."""
        return set(self.usable[TARGETS][~self.here(self.usable)])

    @cached_property
    def measured_here(self) -> set[str]:
        """Target genes of what is measured in lines in which perturbations are held out."""
        return set(self.measured[TARGETS][self.here(self.measured)])

    def eligible(self) -> list[str]:
        """Return one label of every perturbation that may be held out, sorted.

        In a target line those that are usable there and in another line; in every line those
        that are usable anywhere, under ``unseen_double`` those of two genes or more.
        """
        usable = self.usable[self.here(self.usable)]
        if self.target is not None:
            usable = usable[usable[TARGETS].isin(self.elsewhere)]
        elif self.protocol == "unseen_double":
            usable = usable[usable[TARGETS].str.contains("+", regex=False)]
        return sorted(usable.sort_values(PERTURBATION).drop_duplicates(TARGETS)[PERTURBATION])

    def drawn(self, fractions: Mapping[str, float], seed: int) -> Held:
        """Draw val and test perturbations among the eligible ones."""
        eligible = self.eligible()
        n_val, n_test = self._sizes(fractions, len(eligible))
        order = np.random.default_rng(seed).permutation(len(eligible))
        labels = [eligible[i] for i in order[: n_val + n_test]]
        targets = dict(zip(self.usable[PERTURBATION], self.usable[TARGETS], strict=True))
        held = [targets[label] for label in labels]
        return Held(set(held[:n_val]), set(held[n_val:]), {})

    def listed(self, path: str | Path, missing: str) -> Held:
        """Read the val and test perturbations of a JSON file.

        Parameters
        ----------
        path
            {line: {val: [...], test: [...]}}; {val, test} alone where perturbations are held out
            in every line.
        missing
            ``error`` or ``drop``: what a listed perturbation that cannot be held out means.
        """
        lists = self._read_lists(path)
        targets = {
            role: {label: joined_targets(label, self.symbols) for label in lists.get(role, [])}
            for role in ("val", "test")
        }
        for label, genes in targets["val"].items():
            if genes in targets["test"].values():
                raise PtragError(f"{self.where}: {path}: {label!r} is in val and in test")
        listed = targets["val"] | targets["test"]
        dropped = {label: why for label, genes in listed.items() if (why := self._obstacle(genes))}
        if dropped and missing == "error":
            label, why = next(iter(dropped.items()))
            near = did_you_mean(label, sorted(set(self.measured[PERTURBATION])))
            raise PtragError(
                f"{self.where}: {path}: {label!r} is {why} ({len(dropped)} of {len(listed)} such); "
                f"{near} `missing: drop` leaves them out"
            )
        if dropped:
            logger.info(
                "%s: %d of %d listed perturbations dropped", self.where, len(dropped), len(listed)
            )
        val, test = (
            {genes for label, genes in targets[role].items() if label not in dropped}
            for role in ("val", "test")
        )
        return Held(val, test, dropped)

    def _read_lists(self, path: str | Path) -> Mapping[str, Sequence[str]]:
        if not Path(path).is_file():
            raise PtragError(f"{self.where}: lists: no file {path}")
        lists = read_json(path)
        if self.target is not None:
            line = match_line(self.target, lists)
            if line is None:
                raise PtragError(
                    f"{self.where}: {path} has no lists for line {self.target!r}; "
                    + did_you_mean(self.target, lists)
                )
            lists = lists[line]
        if not set(lists) <= {"val", "test"}:
            raise PtragError(
                f"{self.where}: {path}: expected the keys val and test; it has {sorted(lists)[:4]}"
            )
        return lists

    def _obstacle(self, targets: str) -> str:
        """Say why a listed perturbation cannot be held out; empty where it can."""
        if targets not in self.measured_here:
            return "listed but not in the data" + (f" of {self.target}" if self.target else "")
        if self.target is not None and targets not in self.elsewhere:
            return "listed but trained on in no other line"
        if self.protocol == "unseen_double" and "+" not in targets:
            return "listed but of one gene alone"
        return ""

    def _sizes(self, fractions: Mapping[str, float], n: int) -> tuple[int, int]:
        """Return the numbers of val and test perturbations among n eligible ones."""
        if self.protocol == "unseen_line":
            return self._sizes_in_line(fractions, n)
        val, test = float(fractions.get("val", 0)), float(fractions.get("test", 0))
        if val < 0 or test <= 0 or val + test >= 1:
            raise PtragError(
                f"{self.where}: fractions val {val:g} and test {test:g} must be >= 0 and > 0 "
                "and add up to less than 1"
            )
        n_val = max(1, round(val * n)) if val else 0
        n_test = max(1, round(test * n))
        if n < 2 or n_val + n_test >= n:
            raise self._too_few(n, f"{n_val} val and {n_test} test")
        return n_val, n_test

    def _sizes_in_line(self, fractions: Mapping[str, float], n: int) -> tuple[int, int]:
        val = float(fractions.get("val", 0))
        if "test" in fractions or not 0 <= val < 1:
            raise PtragError(
                f"{self.where}: unseen_line tests every perturbation of the line that is not val; "
                "give fractions.val alone, at least 0 and below 1"
            )
        n_val = max(1, round(val * n)) if val else 0
        if n_val >= n:
            raise self._too_few(n, f"{n_val} val and a test one")
        return n_val, n - n_val

    def _too_few(self, n: int, wanted: str) -> PtragError:
        kind = "doubles" if self.protocol == "unseen_double" else "perturbations"
        both = ", measured in the target and another line" if self.target else ""
        return PtragError(
            f"{self.where}: only {n} {kind} can be held out (enough cells{both}), too few for "
            f"{wanted}; lower cells.min_cells or the fractions"
        )


def withheld_genes(held: Held, share: float, seed: int) -> set[str]:
    """Draw ``share`` of the target genes of the doubles that are held out."""
    genes = sorted(set().union(*(targets.split("+") for targets in held.val | held.test)))
    rng = np.random.default_rng([seed, 1])
    return set(rng.choice(genes, round(share * len(genes)), replace=False).tolist())
