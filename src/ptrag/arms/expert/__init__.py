"""The expert: a Gaussian process over measured responses, stacked with the simple baselines.

Start with ``expert``.
"""
