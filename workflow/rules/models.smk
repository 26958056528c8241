# Arms: closed forms share one job per split; a neural arm trains and predicts per seed.


rule fit_expert:
    """Fit the expert of measured responses once, for all arms and seeds that read it."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        embedding=lambda wildcards: embedding_file(wildcards.arm),
        index=lambda wildcards: index_files(wildcards.split, wildcards.arm),
        like=lambda wildcards: like_fitted(wildcards.split, wildcards.arm, wildcards.k),
    output:
        fitted="results/{dataset}/{split}/expert/{arm}.{k}.fitted.npz",
        digest=digest_of("results/{dataset}/{split}/expert/{arm}.{k}.fitted.npz"),
    log:
        "results/{dataset}/{split}/expert/logs/fit_expert.{arm}.{k}.log",
    benchmark:
        "results/{dataset}/{split}/expert/benchmarks/fit_expert.{arm}.{k}.tsv"
    wildcard_constraints:
        k=r"\d+",
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("fit_expert"),
    params:
        code=code("fit_expert", arm=True),
        options=lambda wildcards: arm_options(SETTINGS, wildcards.arm)
        | {"topk_rag": int(wildcards.k)},
    script:
        "../../src/fit_expert.py"


rule expect_responses:
    """Ask the fitted expert once what it expects of the pairs that trainings read."""
    input:
        **by_content(fitted="results/{dataset}/{split}/expert/{arm}.{k}.fitted.npz"),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
    output:
        expected="results/{dataset}/{split}/expert/{arm}.{k}.expected.npz",
        digest=digest_of("results/{dataset}/{split}/expert/{arm}.{k}.expected.npz"),
    log:
        "results/{dataset}/{split}/expert/logs/expect_responses.{arm}.{k}.log",
    benchmark:
        "results/{dataset}/{split}/expert/benchmarks/expect_responses.{arm}.{k}.tsv"
    wildcard_constraints:
        k=r"\d+",
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("expect_responses"),
    params:
        code=code("expect_responses", arm=True),
    script:
        "../../src/expect_responses.py"


rule fit_closed_forms:
    """Fit every arm that needs no training loop, and predict with it."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
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
        truth=all_by_content(
            ["results/{dataset}/truth.h5ad"] if "oracle" in CLOSED_FORMS else []
        ),
        source=provider_file(*CLOSED_FORMS),
        fitted=lambda wildcards: [
            file for arm in CLOSED_FORMS for file in fitted_file(wildcards.split, arm)
        ],
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
        digests=expand(
            "results/{{dataset}}/{{split}}/{arm}/seed0/{file}.digest.json",
            arm=CLOSED_FORMS,
            file=["profiles", "predictions"],
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
        index={arm: arm_index(SETTINGS, arm) for arm in CLOSED_FORMS},
        embeddings=SETTINGS["embeddings"],
        fitted={arm: fitted_name(arm) for arm in CLOSED_FORMS},
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
        **by_content(cells="results/{dataset}/cells.h5ad"),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        embedding=lambda wildcards: embedding_file(wildcards.arm),
        index=lambda wildcards: index_files(wildcards.split, wildcards.arm),
        source=lambda wildcards: provider_file(wildcards.arm),
        fitted=lambda wildcards: fitted_file(wildcards.split, wildcards.arm),
        expected=lambda wildcards: fitted_file(
            wildcards.split, wildcards.arm, "expected"
        ),
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
        **by_content(cells="results/{dataset}/cells.h5ad"),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        embedding=lambda wildcards: embedding_file(wildcards.arm),
        index=lambda wildcards: index_files(wildcards.split, wildcards.arm),
        fitted=lambda wildcards: fitted_file(wildcards.split, wildcards.arm),
        expected=lambda wildcards: fitted_file(
            wildcards.split, wildcards.arm, "expected"
        ),
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
        **by_content(cells="results/{dataset}/cells.h5ad"),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        bundle="results/{dataset}/{split}/{arm}/seed{seed}/bundle/bundle.json",
        weights=ancient(
            "results/{dataset}/{split}/{arm}/seed{seed}/bundle/weights.safetensors"
        ),
    output:
        profiles="results/{dataset}/{split}/{arm}/seed{seed}/profiles.h5ad",
        cells="results/{dataset}/{split}/{arm}/seed{seed}/predictions.h5ad",
        evidence="results/{dataset}/{split}/{arm}/seed{seed}/evidence.tsv",
        summary="results/{dataset}/{split}/{arm}/seed{seed}/summary.tsv",
        digests=multiext(
            "results/{dataset}/{split}/{arm}/seed{seed}/",
            "profiles.digest.json",
            "predictions.digest.json",
        ),
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
