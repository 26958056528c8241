"""``ridge``: from a perturbation's vector to its delta, linearly.

δ̂(p, t) = m_t + B (e_p − ē), with m_t the mean delta of the line's training perturbations
(``line_mean``) and B the ridge regression of what the lines have in common:

    B minimises Σ_q ‖z_q − z̄ − B (e_q − ē)‖² + λ ‖B‖²,   z_q = mean over lines l of δ(q, l) − m_l,

over the training perturbations q with a vector, e_q scaled to length one. λ is the one of
:data:`PENALTIES` (in units of the mean squared length of e_q − ē) with the least squared error
of exact leave-one-out, over perturbations: the entries of one perturbation share its vector, so
one entry at a time would be told by the others. A perturbation without a vector gets
``line_mean``, and a note.

Origin: ridge regression on gene embeddings (Ahlmann-Eltze et al. 2025); leave-one-out as the
PRESS statistic of Allen 1974.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.models.arm import Arm

if TYPE_CHECKING:
    import numpy as np

    from ptrag.genes.embeddings import Embedding
    from ptrag.models.estimate import Estimate
    from ptrag.retrieval.responses import Responses

PENALTIES = tuple(10 ** (power / 4) for power in range(-12, 13))
BACK_OFF = "no vector: line_mean"


def fit(
    responses: "Responses", embedding: "Embedding", neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Fit B, by its dual coefficients."""
    import numpy as np

    from ptrag.models.arms import line_mean
    from ptrag.models.estimate import Estimate

    fallback = line_mean.fit(responses, embedding, neighbours, options)
    row = {name: i for i, name in enumerate(embedding.names)}
    names = [name for name in responses.perturbations if name in row]
    if len(names) < 2:
        return lambda line, perturbation: fallback(line, perturbation)._replace(note=BACK_OFF)
    vectors = embedding.vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rest = responses.delta.copy()
    for line in responses.lines:
        rest[responses.rows(line)] -= fallback(line, "").delta
    z = np.array([rest[responses.rows(perturbation=name)].mean(axis=0) for name in names])
    x = vectors[[row[name] for name in names]]
    centre = x.mean(axis=0)
    dual = solve(x - centre, z - z.mean(axis=0))

    def predict(line: str, perturbation: str) -> Estimate:
        estimate = fallback(line, perturbation)
        if perturbation not in row:
            return estimate._replace(note=BACK_OFF)
        told = ((vectors[row[perturbation]] - centre) @ (x - centre).T) @ dual
        return estimate._replace(delta=estimate.delta + told)

    return predict


def solve(x: "np.ndarray", z: "np.ndarray") -> "np.ndarray":
    """Return the (n, G) dual coefficients (x xᵀ + λ)⁻¹ z of the best λ.

    With the hat matrix H = x xᵀ (x xᵀ + λ)⁻¹ + 1/n (the intercept), the residual without
    perturbation i is (z − H z)_i / (1 − H_ii), exactly.

    Parameters
    ----------
    x, z
        (n, E) and (n, G), columns centred.
    """
    import numpy as np

    n = len(x)
    values, basis = np.linalg.eigh(x @ x.T)
    values = np.maximum(values, 0.0)
    turned = basis.T @ z

    def residual(penalty: float) -> np.ndarray:
        shrunk = basis * (values / (values + penalty))
        leverage = (shrunk * basis).sum(axis=1) + 1 / n
        return (z - shrunk @ turned) / (1 - leverage)[:, None]

    penalties = np.array(PENALTIES) * max(values.mean(), 1e-12)
    best = min(penalties, key=lambda penalty: (residual(penalty) ** 2).sum())
    return (basis / (values + best)) @ turned


ARM = Arm(
    name="ridge",
    family="closed_form",
    summary="Ridge regression from the perturbation's vector to its delta, plus the line's mean",
    origin="linear baseline on gene embeddings, Ahlmann-Eltze et al. 2025",
    fit=fit,
)
