# How good each prediction is, and which differences between arms hold.

# What scoring one run depends on; the statistics over runs are compare_arms' alone, and the
# number of threads changes no value.
EVALUATION = {
    key: value for key, value in SETTINGS["evaluation"].items() if key != "threads"
}
SCORING = {
    key: value
    for key, value in EVALUATION.items()
    if key not in ("bootstrap", "confidence", "primary", "contrasts")
}


rule build_reference:
    """Compute what all arms of a split are scored with: PCA, DEGs, control means, centroids."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
    output:
        reference="results/{dataset}/{split}/reference.h5",
        digest=digest_of("results/{dataset}/{split}/reference.h5"),
    log:
        "results/{dataset}/{split}/logs/build_reference.log",
    benchmark:
        "results/{dataset}/{split}/benchmarks/build_reference.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: SETTINGS["evaluation"]["threads"]
    resources:
        **needs("build_reference"),
        cpus_per_task=SETTINGS["evaluation"]["threads"],
    params:
        code=code("build_reference"),
        evaluation=SCORING,
        prediction=SETTINGS["prediction"],
        set_size=SETTINGS["training"]["set_size"],
    script:
        "../../src/build_reference.py"


rule evaluate_arm:
    """Score every val and test pair of one run; intervals and support of its predictions."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
        **by_content(
            reference="results/{dataset}/{split}/reference.h5",
            profiles="results/{dataset}/{split}/{arm}/seed{seed}/profiles.h5ad",
            predictions="results/{dataset}/{split}/{arm}/seed{seed}/predictions.h5ad",
        ),
        split="results/{dataset}/{split}/split.tsv",
        about="results/{dataset}/{split}/split.json",
        evidence="results/{dataset}/{split}/{arm}/seed{seed}/evidence.tsv",
    output:
        metrics="results/{dataset}/{split}/{arm}/seed{seed}/metrics.tsv",
        intervals="results/{dataset}/{split}/{arm}/seed{seed}/intervals.h5ad",
        digest=digest_of("results/{dataset}/{split}/{arm}/seed{seed}/intervals.h5ad"),
        conformal="results/{dataset}/{split}/{arm}/seed{seed}/conformal.tsv",
    log:
        "results/{dataset}/{split}/{arm}/seed{seed}/logs/evaluate_arm.log",
    benchmark:
        "results/{dataset}/{split}/{arm}/seed{seed}/benchmarks/evaluate_arm.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: SETTINGS["evaluation"]["threads"]
    resources:
        **needs("evaluate_arm"),
        cpus_per_task=SETTINGS["evaluation"]["threads"],
    params:
        code=code("evaluate_arm"),
        evaluation=SCORING,
    script:
        "../../src/evaluate_arm.py"


rule compare_arms:
    """Average seeds within pairs, compare arms over pairs: intervals and paired tests."""
    input:
        metrics=[
            f"results/{SETTINGS['dataset']}/{run.path}/metrics.tsv" for run in RUNS
        ],
        histories=[
            f"results/{SETTINGS['dataset']}/{run.path}/history.tsv" for run in TRAINED
        ],
    output:
        comparison=report(
            "results/{dataset}/comparison.tsv",
            caption="../report/comparison.rst",
            category="Comparison",
            labels={"data set": "{dataset}", "file": "scores of every arm"},
        ),
        contrasts=report(
            "results/{dataset}/contrasts.tsv",
            caption="../report/contrasts.rst",
            category="Comparison",
            labels={"data set": "{dataset}", "file": "differences of arms"},
        ),
        strata=report(
            "results/{dataset}/strata.tsv",
            caption="../report/strata.rst",
            category="Comparison",
        ),
        solved=report(
            "results/{dataset}/solved.tsv",
            caption="../report/solved.rst",
            category="Comparison",
        ),
    log:
        "results/{dataset}/logs/compare_arms.log",
    benchmark:
        "results/{dataset}/benchmarks/compare_arms.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("compare_arms"),
    params:
        code=code("compare_arms"),
        runs=[(run.split, run.arm, run.seed) for run in RUNS],
        trained=[
            (
                run.split,
                run.arm,
                arm_settings(SETTINGS, run.arm, "training")["monitor"],
            )
            for run in TRAINED
        ],
        split_half="split_half" in SETTINGS["arms"],
        evaluation=EVALUATION,
    script:
        "../../src/compare_arms.py"
