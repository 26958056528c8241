# From a source to one store of cells, and the role of every pair.


if "simulate" in SETTINGS["source"]:

    # A made screen with known truth.
    rule simulate_screen:
        """Simulate a screen and write its truth beside it."""
        input:
            gene_text=ancient(SETTINGS["source"]["simulate"]["gene_text"]),
        output:
            source="results/{dataset}/source.h5ad",
            truth="results/{dataset}/truth.h5ad",
            digest=digest_of("results/{dataset}/source.h5ad"),
            truth_digest=digest_of("results/{dataset}/truth.h5ad"),
        log:
            "results/{dataset}/logs/simulate_screen.log",
        benchmark:
            "results/{dataset}/benchmarks/simulate_screen.tsv"
        conda:
            "../../envs/cpu.yaml"
        resources:
            **needs("simulate_screen"),
        params:
            code=code("simulate_screen"),
            knobs=SETTINGS["source"]["simulate"],
            content=content(SETTINGS["source"]["simulate"]["gene_text"]),
        script:
            "../../src/simulate_screen.py"

else:

    # The source stays where it is: a local file is linked, not copied. On a cluster it runs
    # where snakemake does: nodes often have no network. Its code is no input: the checksum says
    # that the file is right, whatever fetched it, and an edit would download 22 GB again.
    rule fetch_source:
        """Find or download the source file and check its sha256."""
        input:
            local=[ancient(file) for file in source_file()],
        output:
            source="results/{dataset}/source.h5ad",
            digest=digest_of("results/{dataset}/source.h5ad"),
        log:
            "results/{dataset}/logs/fetch_source.log",
        benchmark:
            "results/{dataset}/benchmarks/fetch_source.tsv"
        localrule: True
        conda:
            "../../envs/cpu.yaml"
        resources:
            **needs("fetch_source"),
        params:
            source={
                key: SETTINGS["source"].get(key) for key in ("file", "url", "sha256")
            },
            data_dir=SETTINGS["data_dir"],
            content=content(*source_file()),
        script:
            "../../src/fetch_source.py"


# Chunked: memory does not grow with the number of cells.
rule build_cells:
    """Write cells.h5ad: log1p, chosen genes, sorted by pair, memory-mappable."""
    input:
        **by_content(source="results/{dataset}/source.h5ad"),
        gene_text=ancient(GENE_TEXT),
    output:
        cells="results/{dataset}/cells.h5ad",
        digest=digest_of("results/{dataset}/cells.h5ad"),
        names="results/{dataset}/cells.names.tsv",
    log:
        "results/{dataset}/logs/build_cells.log",
    benchmark:
        "results/{dataset}/benchmarks/build_cells.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("build_cells"),
    params:
        code=code("build_cells"),
        source={
            key: SETTINGS["source"].get(key)
            for key in (
                "columns",
                "perturbation_pattern",
                "control",
                "scale",
                "matrix",
                "simulated",
                "unlabelled",
                "twins",
            )
        },
        cells={key: SETTINGS["cells"][key] for key in ("genes", "n_genes", "yardstick")},
        content=content(GENE_TEXT),
    script:
        "../../src/build_cells.py"


rule draw_split:
    """Give every pair its role: train, val, test, control or excluded."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
        lists=lambda wildcards: [ancient(file) for file in list_file(wildcards.split)],
        gene_text=ancient(GENE_TEXT),
    output:
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
    log:
        "results/{dataset}/{split}/logs/draw_split.log",
    benchmark:
        "results/{dataset}/{split}/benchmarks/draw_split.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("draw_split"),
    params:
        code=code("draw_split"),
        spec=lambda wildcards: SETTINGS["source"]["splits"][wildcards.split],
        limits={key: SETTINGS["cells"][key] for key in ("min_cells", "min_controls")},
        content=lambda wildcards: content(GENE_TEXT, *list_file(wildcards.split)),
    script:
        "../../src/draw_split.py"
