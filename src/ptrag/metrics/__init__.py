"""Metrics: pure functions, one registry."""

from ptrag.metrics.registry import METRICS, Metric, score_pair

__all__ = ["METRICS", "Metric", "score_pair"]
