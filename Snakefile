# End-to-end: source -> cells -> split -> embeddings -> index -> train -> predict ->
# evaluate -> compare -> report. Files under results/{dataset}/ (docs/reference/files.md).
from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.current_basedir}/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


rule all:
    input:
        expand(
            "results/{dataset}/{file}",
            dataset=SETTINGS["dataset"],
            file=["comparison.tsv", "contrasts.tsv", "report.html", "manifest.json"],
        ),
        search_tables(),


include: "workflow/rules/data.smk"
include: "workflow/rules/embeddings.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/unmeasured.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"
