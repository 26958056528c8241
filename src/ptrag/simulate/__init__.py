"""Screens that are made, with known truth: labelled *simulated* wherever they show up.

Two worlds: ``programmes`` and ``network``; ``knobs``, ``panel`` (which genes), ``cells`` (cells and
truth) and ``count_model`` serve both. May import ``base``, ``cells`` and ``genes``. Start with
``screen``.
"""
