"""Predictions set against real cells.

What all arms of a split are scored with (``reference``, ``bounds``), scoring, intervals, support,
and any two h5ad files. May import ``metrics``, ``prediction`` and what these may. Start with
``evaluate``.
"""
