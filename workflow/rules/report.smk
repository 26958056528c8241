# What people read, and what says how it was made.


def reported_files(wildcards):
    """Everything the report shows."""
    home = f"results/{wildcards.dataset}"
    files = {f"{home}/comparison.tsv", f"{home}/contrasts.tsv", f"{home}/cells.h5ad"}
    for run in RUNS:
        files.update(
            multiext(f"{home}/{run.split}/", "split.tsv", "split.json", "reference.h5")
        )
        files.update(
            multiext(
                f"{home}/{run.path}/",
                "metrics.tsv",
                "evidence.tsv",
                "conformal.tsv",
                "profiles.h5ad",
            )
        )
        files.update(index_files(run.split, run.arm))
        files.update(
            name.replace(".h5ad", ".coverage.tsv") for name in embedding_file(run.arm)
        )
    for run in TRAINED:
        files.add(f"{home}/{run.path}/history.tsv")
        files.add(f"{home}/{run.path}/seconds.tsv")
        files.add(f"{home}/{run.path}/bundle/bundle.json")
    return sorted(files)


rule write_report:
    """Write the report: one HTML file that needs no network."""
    input:
        files=reported_files,
    output:
        report=report(
            "results/{dataset}/report.html",
            caption="../report/report.rst",
            category="Report",
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
        settings=SETTINGS,
    script:
        "../../src/write_report.py"


def made_files(wildcards):
    """What is not in the report, but part of the results: bundles and embeddings."""
    files = {name for run in RUNS for name in embedding_file(run.arm)}
    for run in RUNS:
        files.add(f"results/{wildcards.dataset}/{run.path}/predictions.h5ad")
    for run in TRAINED:
        files.add(f"results/{wildcards.dataset}/{run.path}/bundle/weights.safetensors")
    return sorted(files)


def given_files(wildcards):
    """What the workflow did not make, besides the source: gene texts, lists, vectors."""
    splits = SETTINGS["source"]["splits"].values()
    files = {
        PROVIDER_FILES["text"],
        *(spec["lists"] for spec in splits if "lists" in spec),
    }
    if any(embedding_file(run.arm) for run in RUNS):
        files.add(PROVIDER_FILES[SETTINGS["embedding"]])
    return sorted(files)


rule write_manifest:
    """Write what made the results: configuration, code, packages, hardware, hashes."""
    input:
        source="results/{dataset}/source.h5ad",
        given=given_files,
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
        settings=SETTINGS,
    script:
        "../../src/write_manifest.py"
