"""Arms against each other: statistics, contrasts, and every claim with its data.

May import ``base``, ``metrics.registry``, ``arms.registry`` and ``config``. Start with
``claims``.
"""
