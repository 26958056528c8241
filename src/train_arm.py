"""Train one neural arm with one seed.

Writes bundle/, a folder that predicts by itself, and history.tsv. A killed training goes on
from checkpoints/last.ckpt to the same result.
"""

from ptrag.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.training import train

    train()
