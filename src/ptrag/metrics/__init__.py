"""Metrics: pure functions, one registry."""

from ptrag.metrics.registry import METRICS, Metric, metric_names, score_pair

__all__ = ["METRICS", "Metric", "metric_names", "score_pair"]
