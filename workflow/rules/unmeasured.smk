# Pairs that nobody measured: named in `predict:` of a data set, predicted by the bundle of every run.

ASKED = SETTINGS["source"].get("predict")

# Runs with a bundle, as far as anything is asked.
ASKED_RUNS = [
    run
    for run in RUNS
    if ASKED and (run in TRAINED or load_arm(run.arm).write is not None)
]


rule predict_unmeasured:
    """Predict the pairs of `predict:` from the bundle of a run, with cells and evidence."""
    input:
        **by_content(cells="results/{dataset}/cells.h5ad"),
        bundle="results/{dataset}/{split}/{arm}/seed{seed}/bundle/bundle.json",
        asked=(ASKED or {}).get("file", []),
    output:
        profiles="results/{dataset}/{split}/{arm}/seed{seed}/unmeasured/profiles.h5ad",
        cells="results/{dataset}/{split}/{arm}/seed{seed}/unmeasured/cells.h5ad",
        evidence="results/{dataset}/{split}/{arm}/seed{seed}/unmeasured/evidence.tsv",
        summary="results/{dataset}/{split}/{arm}/seed{seed}/unmeasured/summary.tsv",
    log:
        "results/{dataset}/{split}/{arm}/seed{seed}/logs/predict_unmeasured.log",
    benchmark:
        "results/{dataset}/{split}/{arm}/seed{seed}/benchmarks/predict_unmeasured.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: SETTINGS["training"]["threads"]
    resources:
        **needs("predict_unmeasured"),
        cpus_per_task=SETTINGS["training"]["threads"],
    params:
        code=code("predict_unmeasured", arm=True),
        asked=ASKED,
        prediction=SETTINGS["prediction"],
        set_size=SETTINGS["training"]["set_size"],
    script:
        "../../src/predict_unmeasured.py"


rule tabulate_unmeasured:
    """Write what every run predicts of the pairs of `predict:` as one table."""
    input:
        summaries=[
            f"results/{SETTINGS['dataset']}/{run.path}/unmeasured/summary.tsv"
            for run in ASKED_RUNS
        ],
    output:
        table="results/{dataset}/unmeasured.tsv",
    log:
        "results/{dataset}/logs/tabulate_unmeasured.log",
    benchmark:
        "results/{dataset}/benchmarks/tabulate_unmeasured.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("tabulate_unmeasured"),
    params:
        code=code("tabulate_unmeasured"),
        runs=[(run.split, run.arm, run.seed) for run in ASKED_RUNS],
    script:
        "../../src/tabulate_unmeasured.py"
