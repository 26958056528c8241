"""How well the retrieved evidence supports a prediction, from 0 to 1.

    support_p = Σ_c a_c · near_c · reliable_c

over the candidates c of pair p in ``evidence.tsv``:

a_c
    Share of the candidate in what evidence did to the prediction: effect_c / Σ effect.
near_c
    Similarity to p, clipped to 0-1; 1 for p's own response, measured in another line.
reliable_c
    Share of its measured responses that is not sampling noise, mean over the training pairs it
    names (:class:`ptrag.cells.noise.Precision`); 0 where training never measured it.

So it never falls when a candidate comes nearer or its measurement gets better, whatever the
others do; it is 0 where nothing was retrieved or nothing that was had an effect, and NaN for arms
that do not retrieve. It uses no cell of the pair itself: it is known at prediction.

On the demo, relative errors (1 − ρ of deltas, 1 − R²) of arms that retrieve by informative vectors
fall as support rises; absolute ones need not, since strong responses are both better measured and
farther to predict.
"""

import numpy as np
import pandas as pd

from ptrag.base.names import PAIR, PERTURBATION

IN = " in "  # between perturbation and line, where a candidate is one measured response


def support(pairs: pd.DataFrame, evidence: pd.DataFrame, entries: pd.DataFrame) -> np.ndarray:
    """Return the support of each pair.

    Parameters
    ----------
    pairs
        cell_line, perturbation.
    evidence
        The run's ``evidence.tsv``.
    entries
        cell_line, perturbation, reliability of the training pairs.
    """
    if evidence.empty:
        return np.full(len(pairs), np.nan)
    retrieved = evidence[evidence["candidate"].notna()]
    candidates = [str(candidate).partition(IN) for candidate in retrieved["candidate"]]
    queries = retrieved[PERTURBATION].astype(str)
    same_gene = [name == query for (name, *_), query in zip(candidates, queries, strict=True)]
    near = np.where(same_gene, 1.0, retrieved["similarity"].fillna(0).clip(0, 1))
    effect = retrieved["effect"].fillna(0.0).clip(lower=0.0).to_numpy()
    good = effect * near * _reliability(candidates, entries)
    weighted = retrieved[PAIR].astype(str).assign(effect=effect, good=good)
    total = weighted.groupby(PAIR)[["effect", "good"]].sum()
    total = total.reindex(pd.MultiIndex.from_frame(pairs[PAIR])).fillna(0.0)
    effect, good = total["effect"].to_numpy(), total["good"].to_numpy()
    return np.divide(good, effect, out=np.zeros(len(pairs)), where=effect > 0)


def _reliability(candidates: list[tuple[str, str, str]], entries: pd.DataFrame) -> np.ndarray:
    """Reliability of each candidate: of one response where a line is named, else the mean."""
    of_pair = entries.set_index(PAIR)["reliability"].to_dict()
    of_gene = entries.groupby(PERTURBATION)["reliability"].mean().to_dict()
    return np.array([
        of_pair.get((line, name), 0.0) if line else of_gene.get(name, 0.0)
        for name, _, line in candidates
    ])  # fmt: skip
