"""Write the report: one HTML file that needs no network."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from datetime import UTC, datetime
    from pathlib import Path

    from ptrag.report.page import write_report

    write_report(
        Path(snakemake.output.report).parent,
        snakemake.params.runs,
        snakemake.params.settings,
        snakemake.output.report,
        f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
    )
