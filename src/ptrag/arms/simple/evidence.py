"""Fixed ways to pool measured responses: by the precision of each gene, and by kinds of source.

Both are the evidence of other methods without what these learn. They take no leave-one-out, so they
mix deltas themselves and not coefficients.
"""

from collections.abc import Sequence

import numpy as np

from ptrag.base.names import N_CELLS
from ptrag.cells.responses import Responses

CELLS = 50.0
"""n₀, cells that count as no response: an entry of so many counts half."""

WEIGHTS = {"same": 0.7, "like": 0.3}
"""Of kinds of source: the same perturbation in other lines, perturbations with like texts."""

CAP = 3.0
"""Largest fused change of a gene, in units of its root mean square over the entries."""


def sources(
    responses: Responses, line: str, perturbation: str, neighbours: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the rows of each kind of source of a pair; its own entry is none.

    ``same`` are the entries of the perturbation in other lines, ``like`` those of its neighbours:
    of each the one in the target line, or all others where it was not measured there.
    """
    same = responses.rows(perturbation=perturbation)
    same = same[responses.line_of[same] != responses.lines.index(line)]
    like = [_nearest_to(responses, line, name) for name in neighbours]
    return {"same": same, "like": np.concatenate([*like, np.zeros(0, int)]).astype(int)}


def precise_mean(responses: Responses, rows: np.ndarray) -> np.ndarray:
    """(G,) mean of the deltas of some entries, of each gene weighted by 1/se².

    Entries without error have all the weight; where none has one, they count alike.

    Parameters
    ----------
    responses
        N entries.
    rows
        One entry or more.
    """
    variance = responses.se[rows] ** 2
    exact = variance == 0
    weights = np.divide(1.0, variance, out=np.zeros_like(variance), where=~exact)
    weights = np.where(exact.any(axis=0), exact, weights)
    return (weights * responses.delta[rows]).sum(axis=0) / weights.sum(axis=0)


def fused(responses: Responses, kinds: dict[str, np.ndarray]) -> np.ndarray:
    """(G,) what sources say beyond their lines' means, fused with :data:`WEIGHTS`.

    x = Σ_k w_k x̄_k / Σ_k w_k over the kinds with an entry, x̄_k the mean of n_i/(n_i + n₀) r_i over
    the entries of the kind, r_i the entry's delta less the mean of its line and n_i its cells; no
    gene beyond ± :data:`CAP` times its root mean square over all entries of n_i/(n_i + n₀) r_i.

    Parameters
    ----------
    responses
        N entries.
    kinds
        Of :func:`sources`.
    """
    n_cells = responses.entries[N_CELLS].to_numpy(float)
    shrunken = responses.centred * (n_cells / (n_cells + CELLS))[:, None]
    present = {kind: rows for kind, rows in kinds.items() if len(rows)}
    total = sum(WEIGHTS[kind] for kind in present)
    mixed = np.zeros(shrunken.shape[1])
    for kind, rows in present.items():
        mixed += WEIGHTS[kind] / total * shrunken[rows].mean(axis=0)
    most = CAP * np.sqrt((shrunken**2).mean(axis=0))
    return np.clip(mixed, -most, most)


def _nearest_to(responses: Responses, line: str, perturbation: str) -> np.ndarray:
    here = responses.rows(line, perturbation)
    return here if len(here) else responses.rows(perturbation=perturbation)
