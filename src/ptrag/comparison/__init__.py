"""Arms against each other: statistics, contrasts, and every claim with its data.

``scores`` reads what arms score on the pairs that all of them predicted; ``statistics`` and
``permutation`` have intervals and tests of one clustered mean; ``scale`` says whether a metric can
be trusted, ``power`` what could have been shown, ``plateau`` whether a training is finished;
``contrasts`` and ``compare`` write the two tables, and ``claims`` decides what may be said. May
import ``base``, ``metrics.registry``, ``arms.registry`` and ``config``. Start with ``claims``.
"""
