"""Proof, per split, that nothing held out can be retrieved or learnt from.

Two audits, one of an index of texts and one of a table of measured responses. Both compare
perturbations by their target genes, so that another label of a held-out gene is a leak as well.
Each returns its checks for a JSON file and stops the build on the first that fails.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ptrag.base.errors import PtragError
from ptrag.base.names import CELL_LINE, CONTROL, PERTURBATION
from ptrag.genes.embeddings import Embedding
from ptrag.splits.protocols import ROLES, Split

SAME_VECTOR = "no held-out perturbation has the vector of an indexed one"


def key_hash(keys: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted keys, one per line."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()


def audit_index(
    split: Split,
    indexed: Sequence[str],
    embedding: Embedding,
    neighbours: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Check an index against its split.

    Parameters
    ----------
    split
        The roles of all pairs, and what it says of equal vectors.
    indexed
        Keys of the index, one per row.
    embedding
        Vectors of those keys, and of whatever is queried.
    neighbours
        (query, neighbour) rows that stage one hands to the models.

    Returns
    -------
    report
        ``roles``: per role the number and hash of its pairs and of its
        perturbations; ``indexed``: number, hash and keys; ``checks``: name,
        passed, allowed (by the split, although it failed), offending keys.

    Raises
    ------
    PtragError
        On any failed check that the split does not allow: a leak must stop the build.
    """
    neighbours = list(neighbours)
    handed = {neighbour for _, neighbour in neighbours}
    offenders = {
        **_held_out(split, indexed, "indexed"),
        "every indexed perturbation has a training pair": set(indexed)
        - set(split.perturbations("train")),
        "control is not indexed": {CONTROL} & set(indexed),
        SAME_VECTOR: _same_vector(split, indexed, embedding),
        "no key is indexed twice": _twice(indexed),
        "every neighbour is indexed": handed - set(indexed),
        "no perturbation is its own neighbour": {p for p, q in neighbours if p == q},
        "no pair has two roles": _in_two_roles(split),
    }
    allowed = {SAME_VECTOR} if split.same_vector == "report" else set()
    facts = {"indexed": {"n": len(indexed), "sha256": key_hash(indexed), "keys": sorted(indexed)}}
    return _report(split, facts, offenders, allowed, "rebuild the index from the split")


def audit_responses(split: Split, entries: pd.DataFrame) -> dict[str, Any]:
    """Check the entries of a table of measured responses against the split.

    Parameters
    ----------
    split
        The roles of all pairs.
    entries
        One row per measured response: cell_line, perturbation.

    Returns
    -------
    report
        ``roles`` as of :func:`audit_index`; ``entries``: number and hash, and the number of each
        line; ``checks``.

    Raises
    ------
    PtragError
        On any failed check.
    """
    pairs = list(zip(entries[CELL_LINE], entries[PERTURBATION], strict=True))
    closed = {
        (line, split.targets(name)) for role in ("val", "test") for line, name in split.pairs(role)
    }
    leaked = {pair for pair in pairs if (pair[0], split.targets(pair[1])) in closed}
    of_target = [pair for pair in pairs if pair[0] == split.target]
    offenders = {
        "no entry is a val or test pair": set(_keys(leaked)),
        "every entry is a training pair": set(_keys(set(pairs) - set(split.pairs("train")))),
        **_held_out(split, entries[PERTURBATION], "measured"),
        "no entry is of a line of which controls alone are known": set(_keys(of_target))
        if split.protocol == "unseen_line"
        else set(),
        "control has no entry": {CONTROL} & set(entries[PERTURBATION]),
        "no pair is entered twice": _twice(_keys(pairs)),
        "no pair has two roles": _in_two_roles(split),
    }
    facts = {
        "entries": {
            "n": len(pairs),
            "sha256": key_hash(map("\t".join, pairs)),
            "lines": dict(Counter(line for line, _ in pairs)),
        }
    }
    return _report(split, facts, offenders, set(), "measure the training pairs of the split")


def _held_out(split: Split, names: Iterable[str], how: str) -> dict[str, set[str]]:
    """Names that are a perturbation held out in every line, or contain one."""
    closed = {split.targets(name) for name in split.held_out_perturbations}
    genes = {name: split.targets(name) for name in names if name != CONTROL}
    containing = {name for name, own in genes.items() if any(other < own for other in closed)}
    return {
        f"no held-out perturbation is {how}": {
            name for name, own in genes.items() if own in closed
        },
        f"nothing that contains a held-out perturbation is {how}": containing
        if split.doubles == "exclude"
        else set(),
    }


def _same_vector(split: Split, indexed: Sequence[str], embedding: Embedding) -> set[str]:
    """``HELD = INDEXED`` for each held-out perturbation with the direction of an indexed one."""
    held = sorted(split.held_out_perturbations & set(embedding.names))
    name_of = dict(zip(_directions(embedding, indexed), indexed, strict=True))
    return {
        f"{name} = {name_of[direction]}"
        for name, direction in zip(held, _directions(embedding, held), strict=True)
        if direction in name_of
    }


def _directions(embedding: Embedding, names: Sequence[str]) -> list[bytes]:
    """Vectors of length one, to six decimals, as keys."""
    vectors = embedding.vectors[embedding.rows(names)].astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [row.tobytes() for row in np.round(unit, 6) + 0.0]  # + 0.0: -0 and 0 are one


def _report(
    split: Split,
    facts: dict[str, Any],
    offenders: dict[str, set[str]],
    allowed: set[str],
    remedy: str,
) -> dict[str, Any]:
    """Return the facts and checks of an audit; a failed check that is not allowed raises."""
    for check, keys in offenders.items():
        if keys and check not in allowed:
            hint = "set same_vector: report in the split, or give them vectors of their own"
            raise PtragError(
                f"leak audit: not so that {check}: {', '.join(sorted(keys)[:5])} "
                f"({len(keys)}); {hint if check == SAME_VECTOR else remedy}"
            )
    return {
        "protocol": split.protocol,
        "target": split.target,
        "split_sha256": split.sha256,
        "roles": {role: _role_facts(split.pairs(role)) for role in ROLES},
        **facts,
        "checks": [
            {
                "check": check,
                "passed": not keys,
                "allowed": check in allowed,
                "offenders": sorted(keys),
            }
            for check, keys in offenders.items()
        ],
    }


def _role_facts(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    perturbations = {perturbation for _, perturbation in pairs}
    return {
        "pairs": len(pairs),
        "pairs_sha256": key_hash("\t".join(pair) for pair in pairs),
        "perturbations": len(perturbations),
        "perturbations_sha256": key_hash(perturbations),
    }


def _in_two_roles(split: Split) -> set[str]:
    return _twice(_keys(pair for role in ROLES for pair in split.pairs(role)))


def _twice(keys: Iterable[str]) -> set[str]:
    return {key for key, n in Counter(keys).items() if n > 1}


def _keys(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return ["/".join(pair) for pair in pairs]
