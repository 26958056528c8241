"""Fit every arm of a split that needs no training loop, and predict with it."""

from ptrag.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.models.closed_form import predict_closed_forms

    predict_closed_forms(
        snakemake.input,
        snakemake.params,
        snakemake.output,
    )
