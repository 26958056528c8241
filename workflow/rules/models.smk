# Arms: closed forms share one job per split; a neural arm trains and predicts per seed.


rule fit_closed_forms:
    """Fit every arm that needs no training loop, and predict with it."""
    input:
        cells="results/{dataset}/cells.h5ad",
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        embeddings=sorted(
            {file for arm in CLOSED_FORMS for file in embedding_file(arm)}
        ),
        indices=lambda wildcards: sorted(
            {
                file
                for arm in CLOSED_FORMS
                for file in index_files(wildcards.split, arm)
            }
        ),
        truth=("results/{dataset}/truth.h5ad" if "oracle" in CLOSED_FORMS else []),
        source=provider_file(*CLOSED_FORMS),
    output:
        predictions=expand(
            "results/{{dataset}}/{{split}}/{arm}/seed0/predictions.h5ad",
            arm=CLOSED_FORMS,
        ),
        profiles=expand(
            "results/{{dataset}}/{{split}}/{arm}/seed0/profiles.h5ad", arm=CLOSED_FORMS
        ),
        evidence=expand(
            "results/{{dataset}}/{{split}}/{arm}/seed0/evidence.tsv", arm=CLOSED_FORMS
        ),
        summaries=expand(
            "results/{{dataset}}/{{split}}/{arm}/seed0/summary.tsv", arm=CLOSED_FORMS
        ),
        bundles=expand(
            "results/{{dataset}}/{{split}}/{arm}/seed0/bundle/bundle.json",
            arm=[arm for arm in CLOSED_FORMS if load_arm(arm).write],
        ),
        audit="results/{dataset}/{split}/responses.audit.json",
    log:
        "results/{dataset}/{split}/logs/fit_closed_forms.log",
    benchmark:
        "results/{dataset}/{split}/benchmarks/fit_closed_forms.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("fit_closed_forms"),
    params:
        code=code("fit_closed_forms", *CLOSED_FORMS),
        arms={arm: arm_options(SETTINGS, arm) for arm in CLOSED_FORMS},
        embedding={arm: arm_embedding(SETTINGS, arm) for arm in CLOSED_FORMS},
        embeddings=SETTINGS["embeddings"],
        prediction=SETTINGS["prediction"],
        set_size=SETTINGS["training"]["set_size"],
    script:
        "../../src/fit_closed_forms.py"


# Every process of a training that uses several devices has its own threads.
TRAINING_CPUS = SETTINGS["training"]["threads"] * SETTINGS["training"]["devices"]


# After a kill it goes on from checkpoints/last.ckpt beside its outputs. The bundle is named by
# files, whose content Snakemake can compare (of a folder only the time), and bundle.json has
# the hashes of the others.
rule train_arm:
    """Train one neural arm with one seed; write its bundle."""
    input:
        cells="results/{dataset}/cells.h5ad",
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        embedding=lambda wildcards: embedding_file(wildcards.arm),
        index=lambda wildcards: index_files(wildcards.split, wildcards.arm),
        source=lambda wildcards: provider_file(wildcards.arm),
    output:
        bundle="results/{dataset}/{split}/{arm}/seed{seed}/bundle/bundle.json",
        weights="results/{dataset}/{split}/{arm}/seed{seed}/bundle/weights.safetensors",
        history="results/{dataset}/{split}/{arm}/seed{seed}/history.tsv",
        seconds="results/{dataset}/{split}/{arm}/seed{seed}/seconds.tsv",
    log:
        "results/{dataset}/{split}/{arm}/seed{seed}/logs/train_arm.log",
    benchmark:
        "results/{dataset}/{split}/{arm}/seed{seed}/benchmarks/train_arm.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: TRAINING_CPUS
    resources:
        **needs("train_arm"),
        cpus_per_task=TRAINING_CPUS,
    params:
        code=code("train_arm", arm=True),
        options=lambda wildcards: arm_options(SETTINGS, wildcards.arm),
        model=lambda wildcards: arm_settings(SETTINGS, wildcards.arm, "model"),
        training=lambda wildcards: arm_settings(SETTINGS, wildcards.arm, "training"),
        embedding=lambda wildcards: arm_embedding(SETTINGS, wildcards.arm),
        embeddings=SETTINGS["embeddings"],
    script:
        "../../src/train_arm.py"


# Off unless the config names an arm in `search:`. After a kill it goes on with the next trial.
rule search_hyperparameters:
    """Try settings of an arm, judged by validation pairs alone."""
    input:
        cells="results/{dataset}/cells.h5ad",
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        embedding=lambda wildcards: embedding_file(wildcards.arm),
        index=lambda wildcards: index_files(wildcards.split, wildcards.arm),
    output:
        table="results/{dataset}/{split}/search/{arm}.tsv",
        best="results/{dataset}/{split}/search/{arm}.best.yaml",
    log:
        "results/{dataset}/{split}/search/logs/search_hyperparameters.{arm}.log",
    benchmark:
        "results/{dataset}/{split}/search/benchmarks/search_hyperparameters.{arm}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: TRAINING_CPUS
    resources:
        **needs("search_hyperparameters"),
        cpus_per_task=TRAINING_CPUS,
    params:
        code=code("search_hyperparameters", arm=True),
        options=lambda wildcards: arm_options(SETTINGS, wildcards.arm),
        model=lambda wildcards: arm_settings(SETTINGS, wildcards.arm, "model"),
        training=lambda wildcards: arm_settings(SETTINGS, wildcards.arm, "training"),
        search=SETTINGS["search"],
    script:
        "../../src/search_hyperparameters.py"


rule predict_arm:
    """Predict the cells of every val and test pair from a trained bundle, with evidence."""
    input:
        cells="results/{dataset}/cells.h5ad",
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        bundle="results/{dataset}/{split}/{arm}/seed{seed}/bundle/bundle.json",
        weights="results/{dataset}/{split}/{arm}/seed{seed}/bundle/weights.safetensors",
    output:
        profiles="results/{dataset}/{split}/{arm}/seed{seed}/profiles.h5ad",
        cells="results/{dataset}/{split}/{arm}/seed{seed}/predictions.h5ad",
        evidence="results/{dataset}/{split}/{arm}/seed{seed}/evidence.tsv",
        summary="results/{dataset}/{split}/{arm}/seed{seed}/summary.tsv",
    log:
        "results/{dataset}/{split}/{arm}/seed{seed}/logs/predict_arm.log",
    benchmark:
        "results/{dataset}/{split}/{arm}/seed{seed}/benchmarks/predict_arm.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: SETTINGS["training"]["threads"]
    resources:
        **needs("predict_arm"),
        cpus_per_task=SETTINGS["training"]["threads"],
    params:
        code=code("predict_arm", arm=True),
        prediction=SETTINGS["prediction"],
    script:
        "../../src/predict_arm.py"


ruleorder: fit_closed_forms > predict_arm
ruleorder: fit_closed_forms > train_arm
