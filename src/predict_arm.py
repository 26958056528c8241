"""Predict the cells of every val and test pair from a trained bundle.

evidence.tsv has one row per pair and candidate: similarity, mean gate, effect of leaving it out.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.base.files import write_digests
    from ptrag.cells.store import CellStore
    from ptrag.prediction.files import PredictionFiles
    from ptrag.prediction.loading import load_bundle
    from ptrag.prediction.pairs import predict_with_network
    from ptrag.splits.protocols import read_split

    predict_with_network(
        load_bundle(Path(snakemake.input.bundle).parent),
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        snakemake.params.prediction["cells_per_pair"],
        PredictionFiles.beside(snakemake.output.cells),
        snakemake.params.code,
    )
    write_digests([snakemake.output.profiles, snakemake.output.cells], snakemake.output.digests)
