"""Simulate a screen of several cell lines with known truth.

source.h5ad holds counts, truth.h5ad every pair's noise-free delta; both say that they are
simulated. The knobs are those of `datasets.NAME.simulate` in config.yaml.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.base.files import write_digests
    from ptrag.simulate.screen import simulate_screen

    simulate_screen(snakemake.params.knobs, snakemake.output.source, snakemake.output.truth)
    write_digests(
        [snakemake.output.source, snakemake.output.truth],
        [snakemake.output.digest, snakemake.output.truth_digest],
    )
