"""Fit the expert of measured responses once for all arms and seeds that read it.

What of it reads no texts is taken over from the expert of the true vectors, where it is at hand.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.base.files import write_digests
    from ptrag.cells.store import CellStore
    from ptrag.prediction.fitted import fit_once
    from ptrag.splits.protocols import read_split

    fit_once(
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        snakemake.wildcards.arm,
        snakemake.params.options,
        snakemake.input.embedding[0],
        Path(snakemake.input.index[0]).parent,
        snakemake.output.fitted,
        next(iter(snakemake.input.like), None),
    )
    write_digests([snakemake.output.fitted], [snakemake.output.digest])
