# Stage one of retrieval: which perturbations may be candidates, and whose neighbours they are.


rule build_index:
    """Index the allowed perturbations, list everyone's neighbours, audit for leaks."""
    input:
        # candidates are reassigned, not vectors: those of the true embedding
        embedding=lambda wildcards: "results/{}/embeddings/{}.h5ad".format(
            wildcards.dataset, wildcards.embedding.removesuffix(f"@{REASSIGNED}")
        ),
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
        embedding=rf"[a-z]+(@({'|'.join([*EMBEDDING_CONTROLS, REASSIGNED])}))?",
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("build_index"),
    params:
        code=code("build_index"),
        reassigned=lambda wildcards: wildcards.embedding.endswith(f"@{REASSIGNED}"),
        k=max(
            [
                options.get("topk_rag", 1)
                for options in SETTINGS["arm_options"].values()
            ]
        ),
    script:
        "../../src/build_index.py"
