"""Train one neural arm with one seed.

Writes bundle/, a folder that predicts by itself, and history.tsv. A killed training goes on
from checkpoints/last.ckpt to the same result.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.training.run import train

    embedding, index = (list(snakemake.input.get(key, [])) for key in ("embedding", "index"))
    train(
        snakemake.input.cells,
        snakemake.input.split,
        embedding[0] if embedding else None,
        Path(index[0]).parent if index else None,
        snakemake.wildcards.arm,
        snakemake.params.options,
        snakemake.params.model,
        snakemake.params.training,
        int(snakemake.wildcards.seed),
        Path(snakemake.output.bundle).parent,
        snakemake.output.history,
    )
