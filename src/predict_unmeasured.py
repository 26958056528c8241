"""Predict the pairs of `predict:`, which nobody measured, from the bundle of a run."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.cells.store import CellStore
    from ptrag.prediction.files import PredictionFiles
    from ptrag.prediction.loading import load_bundle
    from ptrag.prediction.prediction import predicted_cells
    from ptrag.prediction.unmeasured import named_pairs, predict_unmeasured

    predict_unmeasured(
        load_bundle(Path(snakemake.input.bundle).parent),
        CellStore(snakemake.input.cells),
        named_pairs(snakemake.params.asked),
        predicted_cells(snakemake.params.prediction["cells_per_pair"], snakemake.params.set_size),
        PredictionFiles.into(Path(snakemake.output.profiles).parent),
    )
