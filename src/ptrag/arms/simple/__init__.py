"""The simple baselines: coefficients of measured responses, and the ridge regression."""
