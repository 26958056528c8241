"""The simple baselines: coefficients of measured responses, the ridge regression, fixed pooling."""
