"""Make a negative control of an embedding.

`shuffled` gives each perturbation the vector of another; `random` draws directions and keeps
the norms. A retrieval arm that gains from either gains from something other than content.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.genes.embeddings import read_embedding, write_embedding
    from ptrag.genes.providers import derive_control

    embedding = derive_control(
        read_embedding(snakemake.input.embedding), snakemake.wildcards.control
    )
    write_embedding(embedding, snakemake.output.embedding, snakemake.output.coverage)
