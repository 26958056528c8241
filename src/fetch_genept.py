"""Find or download the GenePT archive (Zenodo 10.5281/zenodo.10833191), checked by size and md5."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.provenance.download import obtain

    obtain(snakemake.params.genept, snakemake.params.data_dir, snakemake.output.archive)
