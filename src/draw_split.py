"""Give every pair its role: train, val, test, control or excluded.

By protocol, from lists or drawn by seed and fraction; split.json says how.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from ptrag.cells.store import CellStore
    from ptrag.genes.symbols import Symbols
    from ptrag.splits.protocols import draw_split, write_split

    table = draw_split(
        CellStore(snakemake.input.cells),
        snakemake.params.spec,
        snakemake.params.limits,
        snakemake.wildcards.split,
        Symbols.read(snakemake.input.gene_text),
    )
    write_split(table, snakemake.params.spec, snakemake.output.split)
