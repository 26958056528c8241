"""Fit every arm of a split that needs no training loop, and predict with it."""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.base.files import write_digests, write_json
    from ptrag.cells.store import CellStore
    from ptrag.genes.vectors import Provider
    from ptrag.prediction.files import PredictionFiles
    from ptrag.prediction.fit_split import ClosedFormJob, predict_closed_forms
    from ptrag.prediction.prediction import predicted_cells
    from ptrag.splits.protocols import read_split

    names = snakemake.params.embedding
    embeddings = {Path(file).name: file for file in snakemake.input.embeddings}
    indices = {Path(file).parent.name: Path(file).parent for file in snakemake.input.indices}
    bundles = {Path(file).parents[2].name: Path(file).parent for file in snakemake.output.bundles}
    fitted = {Path(file).name: Path(file) for file in snakemake.input.fitted}
    source = next(iter(snakemake.input.source), None)
    audit = predict_closed_forms(
        CellStore(snakemake.input.cells),
        read_split(snakemake.input.split),
        [
            ClosedFormJob(
                arm,
                options,
                embeddings.get(f"{names[arm]}.h5ad"),
                indices.get(snakemake.params.index[arm]),
                PredictionFiles.beside(predictions),
                bundles.get(arm),
                names[arm]
                and Provider.of_settings(names[arm], snakemake.params.embeddings, source),
                fitted.get(f"{snakemake.params.fitted[arm]}.fitted.npz"),
            )
            for (arm, options), predictions in zip(
                snakemake.params.arms.items(), snakemake.output.predictions, strict=True
            )
        ],
        predicted_cells(snakemake.params.prediction["cells_per_pair"], snakemake.params.set_size),
        next(iter(snakemake.input.truth), None),
    )
    write_json(audit, snakemake.output.audit)
    predicted = zip(snakemake.output.profiles, snakemake.output.predictions, strict=True)
    write_digests([file for files in predicted for file in files], snakemake.output.digests)
