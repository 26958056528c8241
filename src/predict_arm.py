"""Predict the cells of every val and test pair from a trained bundle.

evidence.tsv has one row per pair and candidate: similarity, mean gate, effect of leaving it out.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.cells.store import CellStore
    from ptrag.prediction.bundle import load_bundle
    from ptrag.prediction.predict import predict_neural
    from ptrag.splits.protocols import read_split

    predict_neural(
        load_bundle(Path(snakemake.input.bundle).parent),
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        snakemake.params.prediction,
        snakemake.output.predictions,
        snakemake.output.evidence,
    )
