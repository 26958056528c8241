"""Texts that say nothing and responses that are dealt anew show nothing, on small screens."""

import sys

import pandas as pd
import pytest
import yaml


@pytest.mark.slow
def test_what_must_not_be_found_is_not_found(root, monkeypatch):
    """Six screens of both kinds; `benchmarks/nulls.py --screens 60` is the whole of it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(root / "benchmarks")])
    from nulls import found

    config = yaml.safe_load((root / "config.yaml").read_text())
    config["datasets"]["demo"]["simulate"]["gene_text"] = str(root / "resources/gene_text.tsv.gz")
    config["embeddings"]["text"]["gene_text"] = str(root / "resources/gene_text.tsv.gz")
    gains = pd.concat([found(config, seed) for seed in range(2000, 2006)])
    assert len(gains) == 12
    assert (gains["texts low"] > 0).sum() <= 1
    assert (gains["permuted low"] > 0).sum() <= 1
