"""``split_half``: what a second sample of the same cells would score.

One random half of a pair's real cells is taken as the prediction of the other half
(:func:`ptrag.evaluation.bounds.ceiling`). It looks at the cells that are to be predicted, so it
is a ceiling and no contestant, and it runs no job: its values are the column ``ceiling`` of every
``metrics.tsv``, and :mod:`ptrag.comparison.compare` gives them rows of their own.

Origin: replicate reproducibility.
"""

from ptrag.arms.arm import Arm

ARM = Arm(
    name="split_half",
    family="ceiling",
    summary="Half of the pair's real cells against the other half: a replicate, no prediction",
    origin="replicate reproducibility",
)
