"""Write manifest.json: configuration, code version, packages, hardware and file hashes."""

from ptrag.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.manifest import write_manifest

    write_manifest(
        [*snakemake.input.files, snakemake.input.report],
        snakemake.input.code,
        snakemake.params.settings,
        snakemake.output.manifest,
    )
