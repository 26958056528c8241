"""Write the summaries of all predictions of unmeasured pairs as one table."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.base.files import write_table
    from ptrag.base.names import Run
    from ptrag.prediction.unmeasured import tabulate

    runs = [Run(*run) for run in snakemake.params.runs]
    write_table(
        tabulate(list(zip(runs, snakemake.input.summaries, strict=True))), snakemake.output.table
    )
