# From perturbation names to vectors, and to their negative controls.


rule fetch_genept:
    """Find or download the GenePT archive and check its size and md5."""
    output:
        archive=GENEPT,
    log:
        "results/genept/fetch_genept.log",
    benchmark:
        "results/genept/fetch_genept.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("fetch_genept"),
    params:
        genept=SETTINGS["embeddings"]["genept"],
        data_dir=SETTINGS["data_dir"],
    script:
        "../../src/fetch_genept.py"


rule embed_perturbations:
    """Give every perturbation its vector, with how it was found in coverage.tsv."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
        source=lambda wildcards: ancient(PROVIDER_FILES[wildcards.embedding]),
        gene_text=ancient(GENE_TEXT),
    output:
        embedding="results/{dataset}/embeddings/{embedding}.h5ad",
        coverage="results/{dataset}/embeddings/{embedding}.coverage.tsv",
    log:
        "results/{dataset}/embeddings/logs/embed_perturbations.{embedding}.log",
    benchmark:
        "results/{dataset}/embeddings/benchmarks/embed_perturbations.{embedding}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("embed_perturbations"),
    params:
        code=code("embed_perturbations"),
        # of the archive, md5 and size among these decide
        embeddings=SETTINGS["embeddings"],
        content=lambda wildcards: content(
            GENE_TEXT, *{PROVIDER_FILES[wildcards.embedding]} - {GENEPT}
        ),
    script:
        "../../src/embed_perturbations.py"


rule derive_control_embedding:
    """Make a negative control of an embedding: rows shuffled, or random with the same norms."""
    input:
        embedding="results/{dataset}/embeddings/{embedding}.h5ad",
    output:
        embedding="results/{dataset}/embeddings/{embedding}@{control}.h5ad",
        coverage="results/{dataset}/embeddings/{embedding}@{control}.coverage.tsv",
    log:
        "results/{dataset}/embeddings/logs/derive_control_embedding.{embedding}@{control}.log",
    benchmark:
        "results/{dataset}/embeddings/benchmarks/derive_control_embedding.{embedding}@{control}.tsv"
    wildcard_constraints:
        control="|".join(EMBEDDING_CONTROLS),
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("derive_control_embedding"),
    params:
        code=code("derive_control_embedding"),
    script:
        "../../src/derive_control_embedding.py"
