"""Index the perturbations that may be candidates and list every perturbation's neighbours.

The audit counts and hashes the keys by role; a held-out key in the index fails the job.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.genes.embeddings import read_embedding
    from ptrag.retrieval.index import build_index
    from ptrag.splits.protocols import read_split

    build_index(
        read_embedding(snakemake.input.embedding),
        read_split(snakemake.input.split),
        snakemake.params.k,
        Path(snakemake.output.index).parent,
        snakemake.params.reassigned,
    )
