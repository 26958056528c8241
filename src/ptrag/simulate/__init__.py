"""Screens that are made, with known truth: labelled *simulated* wherever they show up.

May import ``base``, ``cells`` and ``genes``. Start with ``screen``.
"""
