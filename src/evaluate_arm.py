"""Score every val and test pair of one run: metrics.tsv, one row per pair and metric."""

from ptrag.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.cells.store import CellStore
    from ptrag.evaluate import evaluate
    from ptrag.splits import read_split

    evaluate(
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        snakemake.input.reference,
        snakemake.input.predictions,
        snakemake.params.evaluation,
        snakemake.output.metrics,
    )
