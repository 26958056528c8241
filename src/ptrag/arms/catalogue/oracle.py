"""``oracle``: the true delta of a simulated screen, δ̂(p, t) = δ*(p, t).

What a perfect predictor of means scores on the drawn cells: their noise keeps it from a perfect
score, and no arm can be better but by luck. Real screens have no known truth.

Origin: this project.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptrag.arms.arm import Arm

if TYPE_CHECKING:
    from ptrag.arms.estimate import Estimate
    from ptrag.cells.responses import Responses


def fit(
    responses: "Responses", embedding: Any, neighbours: Any, options: dict[str, Any]
) -> "Callable[[str, str], Estimate]":
    """Read ``options["truth"]``, the screen's ``truth.h5ad``.

    Raises
    ------
    PtragError
        If there is none, or it lacks genes or pairs.
    """
    import anndata
    import numpy as np

    from ptrag.arms.estimate import Estimate
    from ptrag.base.errors import PtragError
    from ptrag.base.names import PAIR

    path = options.get("truth")
    if not path:
        raise PtragError(
            "arm 'oracle': only a simulated data set has a known truth; take it off `arms:`"
        )
    data = anndata.read_h5ad(path)
    if missing := sorted(set(responses.genes) - set(data.var_names)):
        raise PtragError(f"{path}: has no gene {missing[0]!r}; simulate the screen again")
    genes = data.var_names.get_indexer(responses.genes)
    pairs = data.obs[PAIR].astype(str).itertuples(index=False, name=None)
    row = {pair: i for i, pair in enumerate(pairs)}
    truth = np.asarray(data.X, np.float64)[:, genes]

    def predict(line: str, perturbation: str) -> Estimate:
        if (line, perturbation) not in row:
            raise PtragError(
                f"{path}: no truth for {perturbation!r} in {line!r}; simulate the screen again"
            )
        return Estimate(truth[row[line, perturbation]])

    return predict


ARM = Arm(
    name="oracle",
    family="closed_form",
    summary="The true delta of a simulated screen",
    origin="known truth of the simulation",
    fit=fit,
)
