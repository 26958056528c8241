"""Search for hyper-parameters of an arm on validation pairs: a table, and the best as YAML."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.training.search import search

    embedding, index = (list(snakemake.input.get(key, [])) for key in ("embedding", "index"))
    search(
        {
            "cells": snakemake.input.cells,
            "split": snakemake.input.split,
            "embedding": embedding[0] if embedding else None,
            "index": Path(index[0]).parent if index else None,
        },
        snakemake.wildcards.arm,
        {key: snakemake.params[key] for key in ("options", "model", "training")},
        snakemake.params.search,
        snakemake.output.table,
        snakemake.output.best,
    )
