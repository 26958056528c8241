"""``summary.tsv``: one row per predicted perturbation, for a person who asks what to expect.

cell_line, perturbation
    The pair.
level
    What the prediction rests on: one of :data:`ptrag.prediction.lines.LEVELS`.
strength
    L2 norm of the predicted delta over genes, log1p scale.
n_moving
    Genes that move with a probability of at least 0.95; missing where the arm knows none.
confidence
    ‖δ̂‖ / √(‖δ̂‖² + Σ_g sd_g²), from 0 to 1: the cosine between predicted and true delta that the
    posterior expects; missing where the arm knows no spread.
nearest, similarity
    The measured perturbation nearest by text, itself apart, and the cosine; missing where the arm
    reads no texts.
up, down
    Genes of largest predicted rise and fall, with their deltas.
note
    What the arm fell back on.
"""

from collections.abc import Sequence

import numpy as np

from ptrag.base.names import CELL_LINE, PERTURBATION, Pair
from ptrag.prediction.prediction import Prediction

SUMMARY = [
    CELL_LINE, PERTURBATION, "level", "strength", "n_moving", "confidence", "nearest",
    "similarity", "up", "down", "note",
]  # fmt: skip

SURE = 0.95
TOP = 10


def summary_row(
    pair: Pair,
    prediction: Prediction,
    level: str,
    nearest: tuple[str | None, float | None],
    genes: Sequence[str],
) -> dict[str, object]:
    """Return the row of one pair.

    Parameters
    ----------
    pair, prediction
        What was predicted of whom.
    level
        What it rests on.
    nearest
        The nearest measured perturbation and its similarity.
    genes
        G symbols.
    """
    delta = prediction.delta
    strength = float(np.linalg.norm(delta))
    moving = confidence = None
    if prediction.wrong_sign is not None:
        moving = int((prediction.wrong_sign <= 1 - SURE).sum())
    if prediction.sd is not None:
        length = np.hypot(strength, float(np.linalg.norm(prediction.sd)))
        confidence = strength / length if length > 0 else 0.0
    order = np.argsort(-delta, kind="stable")
    up = [g for g in order[:TOP] if delta[g] > 0]
    down = [g for g in order[::-1][:TOP] if delta[g] < 0]
    notes = prediction.evidence["note"]
    values = (
        *pair, level, strength, moving, confidence, *nearest,
        *(", ".join(f"{genes[g]} {delta[g]:+.3f}" for g in of) for of in (up, down)),
        notes.iloc[0] if len(notes) else "",
    )  # fmt: skip
    return dict(zip(SUMMARY, values, strict=True))
