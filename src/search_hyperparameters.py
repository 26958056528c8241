"""Search for hyper-parameters of an arm on validation pairs: a table, and the best as YAML."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.training.job import TrainingJob
    from ptrag.training.search import search

    table = Path(snakemake.output.table)
    search(
        TrainingJob.of_rule(
            snakemake, seed=0, bundle=table.with_suffix(""), history=table.with_suffix("")
        ),
        snakemake.params.search,
        table,
        snakemake.output.best,
    )
