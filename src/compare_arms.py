"""Compare arms over pairs.

comparison.tsv: mean and interval of every metric per split and arm; contrasts.tsv: paired
differences with interval, sign-flip p, Holm and the decision; strata.tsv: by strength of the real
response; solved.tsv: pairs on which an arm reaches a replicate.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.comparison.compare import compare

    compare(
        [
            (*run, path)
            for run, path in zip(snakemake.params.runs, snakemake.input.metrics, strict=True)
        ],
        [
            (*run, path)
            for run, path in zip(snakemake.params.trained, snakemake.input.histories, strict=True)
        ],
        snakemake.params.evaluation,
        snakemake.output.comparison,
        snakemake.output.contrasts,
        snakemake.output.strata,
        snakemake.output.solved,
        split_half=snakemake.params.split_half,
    )
