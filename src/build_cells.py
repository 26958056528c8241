"""Turn a source into cells.h5ad: one store for everything downstream.

Expression is log1p of counts per 10,000, or log1p as given; genes are chosen without looking
at any perturbed cell; rows are sorted so that a pair is one block.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.base.files import write_digests
    from ptrag.cells.preprocess import build_cells

    build_cells(
        snakemake.input.source,
        snakemake.params.source,
        snakemake.params.cells,
        snakemake.output.cells,
        snakemake.input.gene_text,
    )
    write_digests([snakemake.output.cells], [snakemake.output.digest])
