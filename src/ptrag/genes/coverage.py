"""From the name of a perturbation to the names whose vectors it gets.

A gene is looked for among the names that a provider knows: exact, then by any
spelling that means this gene alone. Words that are no gene (placeholders, controls, safe
harbours, reporters) are never looked for as one. What is not found goes by the policy
``missing``: ``error``, ``drop``, or ``family``: the mean of the genes of its
family (``MAP2K3``: the other ``MAP2K`` genes), else of the genes that share most
GO process terms with it. A double ``A+B`` is the mean of its parts.
"""

from collections.abc import Sequence, Set
from typing import NamedTuple

import pandas as pd

from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import PERTURBATION
from ptrag.genes.embeddings import COVERAGE
from ptrag.genes.names import ALIAS, CONTROL_WORD, EXACT, NOT_A_GENE, Names
from ptrag.genes.symbols import Symbols, family_stem

POLICIES = ("error", "drop", "family")
LEVELS = ("exact", "alias", "family", "go")  # of a gene, best first


class Match(NamedTuple):
    """Provider names to average for one gene, and how they were found."""

    names: list[str]
    level: str
    detail: str


def cover(
    perturbations: Sequence[str],
    known: Set[str],
    symbols: Symbols,
    missing: str,
    provider: str,
    need_one: bool = True,
) -> tuple[dict[str, list[list[str]]], pd.DataFrame]:
    """Find every perturbation among the names that a provider knows.

    Parameters
    ----------
    perturbations
        Names, doubles as ``A+B``.
    known
        Names that the provider has vectors of.
    symbols
        Spellings, families and GO terms.
    missing
        ``error`` | ``drop`` | ``family``.
    provider
        Its name, for messages.
    need_one
        Whether it is an error where no perturbation at all is known.

    Returns
    -------
    recipes
        {perturbation: for each of its parts the names to average}; the vector is
        the mean over parts of these means. Dropped perturbations are absent.
    coverage
        perturbation, level (exact | alias | parts | family | go | dropped), detail.
        A double has the level ``parts`` unless a part needed a back-off.

    Raises
    ------
    PtragError
        Where no perturbation at all is known and one is needed, or one is not under ``error``.
    """
    if missing not in POLICIES:
        raise PtragError(f"embeddings.missing: {missing!r}; {did_you_mean(missing, POLICIES)}")
    families = _families(known) if missing == "family" else {}
    recipes, rows = {}, []
    for perturbation in perturbations:
        parts = symbols.parts(perturbation)
        matches = [_find(gene, known, symbols) for gene in parts]
        if missing == "family":
            matches = [
                f
                if f.names or f.level == NOT_A_GENE
                else _back_off(gene, f, known, symbols, families)
                for gene, f in zip(parts, matches, strict=True)
            ]
        level, detail = _summary(parts, matches)
        rows.append((perturbation, level, detail))
        if level != "dropped":
            recipes[perturbation] = [f.names for f in matches]
    coverage = pd.DataFrame(rows, columns=COVERAGE)
    if need_one or missing == "error":
        _check(coverage, known, missing, provider)
    return recipes, coverage


def _find(gene: str, known: Set[str], symbols: Symbols) -> Match:
    if gene in known:
        return Match([gene], "exact", "")
    current, how, _ = Names(symbols).gene(gene)
    if how in (NOT_A_GENE, CONTROL_WORD):
        return Match([], NOT_A_GENE, f"{gene}: {how}")
    if how not in (EXACT, ALIAS):
        return Match([], "dropped", f"{gene}: {how} symbol")
    for spelling in symbols.spellings(gene):
        # An alias that other genes bear too, or that is another gene's symbol, is no name.
        if spelling in known and symbols.resolve(spelling)[0] == current:
            return Match([spelling], "alias", spelling)
    return Match([], "dropped", f"{gene}: no vector under any of its names")


def _families(known: Set[str]) -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for name in sorted(known):
        if (stem := family_stem(name)) is not None:
            families.setdefault(stem, []).append(name)
    return families


def _back_off(
    gene: str, missed: Match, known: Set[str], symbols: Symbols, families: dict[str, list[str]]
) -> Match:
    stem = family_stem(gene)
    if members := families.get(stem or "", []):
        return Match(members, "family", f"{stem}*: {len(members)} genes")
    if sharing := symbols.sharing_terms(gene, known):
        return Match(sharing, "go", "shares terms with " + ", ".join(sharing))
    return missed


def _summary(parts: list[str], matches: list[Match]) -> tuple[str, str]:
    lost = [f.detail for f in matches if not f.names]
    if lost:
        return "dropped", "; ".join(lost)
    if len(parts) == 1:
        return matches[0].level, matches[0].detail
    worst = max((f.level for f in matches), key=LEVELS.index)
    described = (
        f"{gene} ({f.level}{': ' if f.detail else ''}{f.detail})"
        for gene, f in zip(parts, matches, strict=True)
    )
    return worst if worst in ("family", "go") else "parts", " + ".join(described)


def _check(coverage: pd.DataFrame, known: Set[str], missing: str, provider: str) -> None:
    dropped = coverage[coverage["level"] == "dropped"]
    if len(dropped) == len(coverage):
        raise PtragError(
            f"embeddings.{provider}: knows none of the {len(coverage)} perturbations "
            f"({', '.join(coverage[PERTURBATION][:3])}, ...), only names like "
            f"{', '.join(sorted(known)[:3])}; check columns.perturbation and the provider's file"
        )
    if missing == "error" and len(dropped):
        raise PtragError(
            f"embeddings.{provider}: no vector for {len(dropped)} of {len(coverage)} "
            f"perturbations ({'; '.join(dropped['detail'][:3])}); mend the names, or set "
            "embeddings.missing to drop or family"
        )
