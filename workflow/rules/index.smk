# Stage one of retrieval: which perturbations may be candidates, and whose neighbours they are.


rule build_index:
    """Index the allowed perturbations, list everyone's neighbours, audit for leaks."""
    input:
        embedding="results/{dataset}/embeddings/{embedding}.h5ad",
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
    output:
        multiext(
            "results/{dataset}/{split}/index/{embedding}/",
            index="index.faiss",
            entries="keys.tsv",
            neighbours="neighbours.tsv",
            audit="audit.json",
        ),
    log:
        "results/{dataset}/{split}/logs/build_index.{embedding}.log",
    benchmark:
        "results/{dataset}/{split}/benchmarks/build_index.{embedding}.tsv"
    wildcard_constraints:
        embedding=rf"[a-z]+(@({'|'.join(EMBEDDING_CONTROLS)}))?",
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("build_index"),
    params:
        code=code("build_index"),
        k=max(
            [
                options.get("topk_rag", 1)
                for options in SETTINGS["arm_options"].values()
            ]
        ),
    script:
        "../../src/build_index.py"
