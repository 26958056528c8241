"""Fit a closed form and put it into a bundle: of a split, or of one's own screen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ptrag.arms.arm import ClosedForm
from ptrag.arms.registry import load_arm
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.bundle import Bundle, facts_of
from ptrag.prediction.closed_form import ClosedFormPredictor
from ptrag.prediction.lines import Lines
from ptrag.retrieval.index import Neighbours


def fit_bundle(
    store: CellStore,
    responses: Responses,
    lines: Lines,
    arm: str,
    options: Mapping[str, Any],
    embedding: Embedding | None,
    neighbours: Neighbours | None,
    protocols: Sequence[str] = (),
    hashes: Mapping[str, str] | None = None,
) -> Bundle:
    """Fit an arm on measured responses.

    Parameters
    ----------
    store
        The cells that they were measured on.
    responses, lines
        What to learn from, and what of it the bundle tells of its lines.
    arm, options
        The arm, and its entry of ``arm_options``.
    embedding, neighbours
        What the arm reads of texts, or None.
    protocols
        What may be new about the pairs to predict, one fit for each; none: that of ``responses``.
    hashes
        Of what was learnt from.
    """
    fits = {}
    for protocol in protocols or [responses.protocol]:
        same = protocol == responses.protocol
        known = responses if same else replace(responses, protocol=protocol)
        fits[protocol] = load_arm(arm).fit(known, embedding, neighbours, dict(options))
    options = {key: value for key, value in options.items() if key != "truth"}
    return bundle_of(store, fits, lines, arm, options, embedding, hashes)


def bundle_of(
    store: CellStore,
    fits: Mapping[str, ClosedForm],
    lines: Lines,
    arm: str,
    options: Mapping[str, Any],
    embedding: Embedding | None,
    hashes: Mapping[str, str] | None = None,
) -> Bundle:
    """Put a fitted arm into a bundle; parameters as of :func:`fit_bundle`, ``fits`` by protocol."""
    facts = facts_of(store, arm, options, hashes or {})
    return Bundle(facts, ClosedFormPredictor(fits), lines, embedding)
