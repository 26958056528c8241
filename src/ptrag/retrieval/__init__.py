"""Stage one: neighbours of a perturbation by its vector, and likeness of vectors.

May import ``base``, ``genes`` and ``splits``. Start with ``index``.
"""
