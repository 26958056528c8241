"""Ask the fitted expert once what it expects of the pairs that trainings read.

A training pair is expected without itself, exactly, which takes as long as the fit: once for all
seeds.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.arms.registry import load_arm
    from ptrag.base.files import write_digests
    from ptrag.splits.protocols import read_split
    from ptrag.training.expected import expect, write_expected

    expert = load_arm(snakemake.wildcards.arm).read(snakemake.input.fitted)
    expected = expect(expert, read_split(snakemake.input.split).pairs("val"))
    write_expected(expected, snakemake.output.expected)
    write_digests([snakemake.output.expected], [snakemake.output.digest])
