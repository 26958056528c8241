"""Find or download the source file of a data set.

A file in `data_dir` is checked against its sha256 and linked; else it is downloaded,
resumable, and takes its name only once it is whole and its checksum right.
"""

from ptrag.base.logs import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from ptrag.base.files import write_digests
    from ptrag.provenance.download import obtain

    source = dict(snakemake.params.source)
    for path in snakemake.input.local:
        source["file"] = Path(path).resolve()
    obtain(source, snakemake.params.data_dir, snakemake.output.source)
    write_digests([snakemake.output.source], [snakemake.output.digest])
