"""Compute what all arms of a split are scored with.

PCA is fitted on training cells and given controls; DEGs come from real cells against the same
line's yardstick controls. Nothing is fitted on the cells being scored.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.base.files import write_digests
    from ptrag.cells.store import CellStore
    from ptrag.evaluation.reference import build_reference
    from ptrag.prediction.prediction import predicted_cells
    from ptrag.splits.protocols import read_split

    build_reference(
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        snakemake.params.evaluation,
        snakemake.output.reference,
        floor_cells=predicted_cells(
            snakemake.params.prediction["cells_per_pair"], snakemake.params.set_size
        ),
        threads=snakemake.threads,
    )
    write_digests([snakemake.output.reference], [snakemake.output.digest])
