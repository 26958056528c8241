"""How well predicted cells recover the differentially expressed genes (DEGs) of real ones.

S_R and S_Q are the significant genes of the real and of the predicted cells against the same
controls (Benjamini-Hochberg). A pair without real DEGs is NaN for every arm: it leaves these
metrics, and is counted. A prediction without DEGs recovers nothing: 0.
"""

import numpy as np

from ptrag.base.correlation import mid_ranks


def overlap(
    predicted: np.ndarray, real: np.ndarray, predicted_rank: np.ndarray, real_rank: np.ndarray,
    k: int | None = None,
) -> float:  # fmt: skip
    """|top_K(S_Q) ∩ top_K(S_R)| / K with K = min(k, |S_R|); range 0 to 1, ideal 1.

    Parameters
    ----------
    predicted, real
        (G,) bool, S_Q and S_R.
    predicted_rank, real_rank
        (G,) larger comes first (ties by gene order).
    k
        At most so many genes; all of S_R where None.
    """
    size = int(real.sum()) if k is None else min(k, int(real.sum()))
    if not size:
        return float("nan")
    top = set(_top(predicted, predicted_rank, size)) & set(_top(real, real_rank, size))
    return len(top) / size


def precision(
    predicted: np.ndarray, real: np.ndarray, predicted_rank: np.ndarray, k: int | None = None
) -> float:
    """|top_K(S_Q) ∩ S_R| / K with K = min(k, |S_Q|); 0 to 1, ideal 1, 0 where S_Q is empty."""
    if not real.any():
        return float("nan")
    size = int(predicted.sum()) if k is None else min(k, int(predicted.sum()))
    return float(real[_top(predicted, predicted_rank, size)].mean()) if size else 0.0


def recall(predicted: np.ndarray, real: np.ndarray) -> float:
    """|S_Q ∩ S_R| / |S_R|; range 0 to 1, ideal 1."""
    return float(predicted[real].mean()) if real.any() else float("nan")


def direction(predicted_delta: np.ndarray, real_delta: np.ndarray, real: np.ndarray) -> float:
    """Share of S_R with sign(δ̂) = sign(δ); range 0 to 1, ideal 1; an unmoved gene has no sign."""
    if not real.any():
        return float("nan")
    return float((np.sign(predicted_delta) == np.sign(real_delta))[real].mean())


def roc_auc(score: np.ndarray, real: np.ndarray) -> float:
    """Probability that a gene of S_R outscores one outside it, ties ½; chance ½, ideal 1."""
    n = int(real.sum())
    m = len(real) - n
    if not n or not m:
        return float("nan")
    return float((mid_ranks(score)[real].sum() - n * (n + 1) / 2) / (n * m))


def average_precision(score: np.ndarray, real: np.ndarray) -> float:
    """Area under precision-recall, Σ (R_i − R_{i−1}) P_i over distinct scores; ideal 1.

    Genes of equal score enter together. Chance: the share of DEGs among genes.
    """
    n = int(real.sum())
    if not n or n == len(real):
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # of each tied group
    hits = np.cumsum(real[order])[last]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (last + 1)) / n)


def count_error(predicted: np.ndarray, real: np.ndarray) -> float:
    """|log2((|S_Q| + 1) / (|S_R| + 1))|: doublings between the numbers of DEGs; ideal 0."""
    return float(abs(np.log2((predicted.sum() + 1) / (real.sum() + 1))))


def _top(significant: np.ndarray, rank: np.ndarray, size: int) -> np.ndarray:
    genes = np.flatnonzero(significant)
    return genes[np.argsort(-rank[genes], kind="stable")[:size]]
