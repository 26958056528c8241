"""Write manifest.json: configuration, seeds, code, packages, hardware, times, memory, hashes.

ro-crate-metadata.json says the same to tools that read RO-Crates.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.provenance.crate import write_crate
    from ptrag.provenance.manifest import write_manifest

    write_manifest(
        [snakemake.input.source, *snakemake.input.given],
        [*snakemake.input.files, *snakemake.input.made, snakemake.input.report],
        snakemake.params.settings,
        snakemake.output.manifest,
    )
    write_crate(snakemake.output.manifest, snakemake.output.crate)
