"""Write the report: one HTML file that needs no network."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.report.numbers import now_in_words
    from ptrag.report.page import write_report

    write_report(
        Path(snakemake.output.report).parent,
        snakemake.params.runs,
        snakemake.params.settings,
        snakemake.output.report,
        now_in_words(),
    )
