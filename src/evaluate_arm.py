"""Score every val and test pair of one run.

metrics.tsv has one row per pair and metric; intervals.h5ad and conformal.tsv say how far the
predicted deltas can be trusted.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.base.files import write_digests
    from ptrag.cells.store import CellStore
    from ptrag.evaluation.evaluate import evaluate
    from ptrag.evaluation.intervals import write_intervals
    from ptrag.splits.protocols import read_split

    run = (
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        snakemake.input.reference,
        snakemake.input.profiles,
    )
    evaluation = snakemake.params.evaluation
    evaluate(
        *run,
        snakemake.input.predictions,
        evaluation,
        snakemake.output.metrics,
        snakemake.threads,
    )
    write_intervals(
        *run,
        snakemake.input.evidence,
        evaluation,
        snakemake.output.intervals,
        snakemake.output.conformal,
    )
    write_digests([snakemake.output.intervals], [snakemake.output.digest])
