"""What the command and Python do where nothing else is asked for, without a configuration.

The workflow reads the same from ``config.yaml``, which says what each key means;
``tests/unit/test_config.py`` holds both together.
"""

from typing import Any

SCREEN: dict[str, int] = {"n_genes": 2000, "min_cells": 20, "min_controls": 40}
"""Of `cells`: genes that are kept, and the least cells of a pair and controls of a line."""

SCORING: dict[str, Any] = {
    "exclude_target": True, "n_pcs": 50, "deg_test": "welch", "deg_alpha": 0.05, "max_degs": 100,
}  # fmt: skip
"""Of `evaluation`: how a prediction is scored."""

STATISTICS: dict[str, Any] = {
    "primary": ["pearson_delta", "mse", "pds_cosine", "energy"], "bootstrap": 2000,
    "confidence": 0.95,
}  # fmt: skip
"""Of `evaluation`: what claims rest on."""
