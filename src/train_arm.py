"""Train one neural arm with one seed.

Writes bundle/, a folder that predicts by itself, and history.tsv. A killed training goes on
from checkpoints/last.ckpt to the same result.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.genes.vectors import Provider
    from ptrag.training.job import TrainingJob
    from ptrag.training.run import train

    vectors = snakemake.params.embedding
    train(
        TrainingJob.of_rule(
            snakemake,
            provider=vectors
            and Provider.of_settings(
                vectors, snakemake.params.embeddings, next(iter(snakemake.input.source), None)
            ),
            seed=int(snakemake.wildcards.seed),
            bundle=Path(snakemake.output.bundle).parent,
            history=Path(snakemake.output.history),
        )
    )
