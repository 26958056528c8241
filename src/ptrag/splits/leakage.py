"""Proof, per split, that nothing held out can be retrieved."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ptrag.base.errors import PtragError
from ptrag.base.names import CONTROL
from ptrag.splits.protocols import ROLES, Split


def key_hash(keys: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted keys, one per line."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()


def audit(
    split: Split,
    indexed: Sequence[str],
    vectors: np.ndarray,
    neighbours: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Check an index against its split.

    Parameters
    ----------
    split
        The roles of all pairs.
    indexed
        Keys of the index, one per row.
    vectors
        (len(indexed), E) vectors behind those keys.
    neighbours
        (query, neighbour) rows that stage one hands to the models.

    Returns
    -------
    report
        ``roles``: per role the number and hash of its pairs and of its
        perturbations; ``indexed``: number, hash and keys; ``checks``: name,
        passed, offending keys.

    Raises
    ------
    PtragError
        On any failed check: a leak must stop the build.
    """
    neighbours = list(neighbours)
    trained = set(split.perturbations("train"))
    held_out = split.held_out_perturbations
    handed = {neighbour for _, neighbour in neighbours}
    pairs = {role: split.pairs(role) for role in ROLES}
    lone = {key for key, row in zip(indexed, vectors, strict=True) if not np.any(row)}
    twice = {key for key, n in Counter(indexed).items() if n > 1}
    offenders = {
        "no held-out perturbation is indexed": held_out & set(indexed),
        "every indexed perturbation has a training pair": set(indexed) - trained,
        "control is not indexed": {CONTROL} & set(indexed),
        "no indexed vector is all zeros": lone,
        "no key is indexed twice": twice,
        "every neighbour is indexed": handed - set(indexed),
        "no perturbation is its own neighbour": {p for p, q in neighbours if p == q},
        "no pair has two roles": _in_two_roles(pairs),
    }
    report = {
        "protocol": split.protocol,
        "target": split.target,
        "split_sha256": split.sha256,
        "roles": {role: _role_facts(keys) for role, keys in pairs.items()},
        "indexed": {"n": len(indexed), "sha256": key_hash(indexed), "keys": sorted(indexed)},
        "checks": [
            {"check": check, "passed": not keys, "offenders": sorted(keys)}
            for check, keys in offenders.items()
        ],
    }
    for check, keys in offenders.items():
        if keys:
            raise PtragError(
                f"leak audit: not so that {check}: {', '.join(sorted(keys)[:5])} "
                f"({len(keys)}); rebuild the index from the split"
            )
    return report


def _role_facts(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    perturbations = {perturbation for _, perturbation in pairs}
    return {
        "pairs": len(pairs),
        "pairs_sha256": key_hash("\t".join(pair) for pair in pairs),
        "perturbations": len(perturbations),
        "perturbations_sha256": key_hash(perturbations),
    }


def _in_two_roles(pairs: dict[str, list[tuple[str, str]]]) -> set[str]:
    count = Counter(pair for keys in pairs.values() for pair in keys)
    return {"/".join(pair) for pair, n in count.items() if n > 1}
