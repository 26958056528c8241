# What people read, and what says how it was made.


def reported_files(wildcards):
    """Everything the report shows."""
    home = f"results/{wildcards.dataset}"
    files = set(
        multiext(
            f"{home}/", "comparison.tsv", "contrasts.tsv", "strata.tsv", "solved.tsv"
        )
    )
    large = {f"{home}/cells.h5ad"}
    for run in RUNS:
        files.update(multiext(f"{home}/{run.split}/", "split.tsv", "split.json"))
        large.add(f"{home}/{run.split}/reference.h5")
        for name in ("profiles.h5ad", "predictions.h5ad", "intervals.h5ad"):
            large.add(f"{home}/{run.path}/{name}")
        files.update(
            multiext(
                f"{home}/{run.path}/",
                "metrics.tsv",
                "evidence.tsv",
                "conformal.tsv",
            )
        )
        files.update(index_files(run.split, run.arm))
        files.update(
            name.replace(".h5ad", ".coverage.tsv") for name in embedding_file(run.arm)
        )
    if ASKED:
        files.add(f"{home}/unmeasured.tsv")
    for run in TRAINED:
        files.add(f"{home}/{run.path}/history.tsv")
        files.add(f"{home}/{run.path}/seconds.tsv")
        files.add(f"{home}/{run.path}/bundle/bundle.json")
    return sorted(files) + all_by_content(sorted(large))


rule write_report:
    """Write the report: one HTML file that needs no network."""
    input:
        files=reported_files,
    output:
        report=report(
            "results/{dataset}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"data set": "{dataset}", "file": "report"},
        ),
    log:
        "results/{dataset}/logs/write_report.log",
    benchmark:
        "results/{dataset}/benchmarks/write_report.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("write_report"),
    params:
        code=code("write_report"),
        runs=[(run.split, run.arm, run.seed) for run in RUNS],
        settings=records.Digested(SETTINGS),
    script:
        "../../src/write_report.py"


def made_files(wildcards):
    """What is not in the report, but part of the results: bundles and embeddings."""
    home = f"results/{wildcards.dataset}"
    embeddings = sorted({name for run in RUNS for name in embedding_file(run.arm)})
    predictions = [f"{home}/{run.path}/predictions.h5ad" for run in RUNS]
    # bundle.json, which is reported, has their hashes
    weights = [f"{home}/{run.path}/bundle/weights.safetensors" for run in TRAINED]
    unmeasured = [
        f"{home}/{run.path}/unmeasured/{name}.h5ad"
        for run in ASKED_RUNS
        for name in ("profiles", "cells")
    ]
    return [
        *embeddings,
        *all_by_content(predictions),
        *map(ancient, weights + unmeasured),
    ]


def given_files():
    """What the workflow did not make, besides the source: gene texts, lists, vectors."""
    splits = SETTINGS["source"]["splits"].values()
    files = {
        GENE_TEXT,
        *(spec["lists"] for spec in splits if "lists" in spec),
    }
    if any(embedding_file(run.arm) for run in RUNS):
        files.add(PROVIDER_FILES[SETTINGS["embedding"]])
    return sorted(files)


rule write_manifest:
    """Write what made the results: configuration, code, packages, hardware, hashes."""
    input:
        **by_content(source="results/{dataset}/source.h5ad"),
        given=[ancient(file) for file in given_files()],
        files=reported_files,
        made=made_files,
        report="results/{dataset}/report.html",
    output:
        manifest="results/{dataset}/manifest.json",
        crate="results/{dataset}/ro-crate-metadata.json",
    log:
        "results/{dataset}/logs/write_manifest.log",
    benchmark:
        "results/{dataset}/benchmarks/write_manifest.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("write_manifest"),
    params:
        code=code("write_manifest"),
        content=content(*(file for file in given_files() if file != GENEPT)),
        settings=records.Digested(SETTINGS),
    script:
        "../../src/write_manifest.py"
