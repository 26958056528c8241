"""Cells: reading sources, the store everything downstream reads, and its sampling."""

CONTROL = "control"
"""Label of unperturbed cells inside the project, whatever the source called them."""
