"""Give every perturbation of the store its vector.

coverage.tsv says for each one how it was found: exact symbol, alias, mean of the parts of a
double, back-off, or not at all.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.cells.store import CellStore
    from ptrag.genes.embeddings import write_embedding
    from ptrag.genes.providers import embed

    embedding = embed(
        snakemake.wildcards.embedding,
        CellStore(snakemake.input.cells).perturbations,
        snakemake.params.embeddings,
        snakemake.input.source,
    )
    write_embedding(embedding, snakemake.output.embedding, snakemake.output.coverage)
