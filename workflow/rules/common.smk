# What all rules share: settings, runs, code dependencies, and Snakemake's own records.
import sys
import time
from pathlib import Path

# The project's folder: not workflow.basedir, which is that of a Snakefile that has this as a module.
HOME = Path(str(workflow.current_basedir)).parents[1]

sys.path[:0] = [f"{HOME}/src", f"{HOME}/workflow"]

from snakemake.logging import logger

import records

records.use_library(f"{HOME}/src")
from ptrag.config import (
    arm_embedding,
    arm_index,
    arm_options,
    arm_settings,
    resolve,
    runs,
)
from ptrag.base.errors import PtragError
from ptrag.base.files import zarr_root
from ptrag.arms.registry import (
    EMBEDDING_CONTROLS,
    NEGATIVE_CONTROLS,
    REASSIGNED,
    base_name,
    embedding_control,
    load_arm,
    negative_control,
)
from ptrag.provenance.code import code_digest
from ptrag.schema import read_schema


def say_of_report(sentence, aloud=False):
    """Tell the console where the report is: of itself (`aloud`), or once it has nothing else."""
    logger.info(sentence if aloud else "", extra={"report": sentence})


try:
    SETTINGS = resolve(
        config,
        read_schema(HOME / "workflow/schemas/config.schema.yaml"),
        records.config_files(workflow, config),
        HOME,
    )
    if workflow.is_main_process:
        if holder := records.clear_stale_lock():
            print(f"note: {holder}", file=sys.stderr)
        records.keep_beside(Path("results"))
        records.adopt(Path("results") / SETTINGS["dataset"])
        STARTED = time.time()
        REPORT = Path("results") / SETTINGS["dataset"] / "report.html"
        say_of_report(records.report_written(REPORT))
except PtragError as error:
    sys.exit(f"error: {error}")
except OSError as error:
    sys.exit(
        f"error: {error.filename}: {error.strerror}; work in a folder that can be written"
    )


GENE_TEXT = SETTINGS["embeddings"]["text"]["gene_text"]
GENEPT = "results/genept/GenePT.zip"
PROVIDER_FILES = {
    "genept": GENEPT,
    "text": GENE_TEXT,
    "table": SETTINGS["embeddings"]["table"]["path"] or [],
}


RUNS = list(runs(SETTINGS))
TRAINED = [run for run in RUNS if load_arm(run.arm).family == "neural"]
CLOSED_FORMS = [
    arm for arm in SETTINGS["arms"] if load_arm(arm).family == "closed_form"
]


wildcard_constraints:
    dataset=SETTINGS["dataset"],
    split="[a-z0-9_]+",
    arm=rf"[a-z0-9_]+(@({'|'.join(NEGATIVE_CONTROLS)}))?",
    seed=r"\d+",
    embedding=r"[a-z]+",


onstart:
    records.hold()
    records.cancel_cluster_jobs()


onsuccess:
    records.leave_with(Path("results") / SETTINGS["dataset"])
    records.release()
    say_of_report(records.report_written(REPORT), aloud=True)


onerror:
    records.release()
    say_of_report(records.report_after_failure(REPORT, STARTED), aloud=True)


def code(script, *arms, arm=False):
    """Parameter by which a job depends on its code, the digest of the script, of the files of
    further ``arms`` (the wildcard arm's own with ``arm``), and of all they import. A function, so
    that a job looks for its own alone."""

    def digest(wildcards):
        own = [wildcards.arm] if arm else []
        return code_digest(
            [f"{script}.py", *(load_arm(name).path for name in [*arms, *own])]
        )

    return digest


def needs(rule):
    """Resources of a rule from the table in the config; memory and time double per attempt
    up to `most`: a job that asks for more than its partition has would wait for ever.
    """
    table = SETTINGS["resources"]
    first = table["default"] | table.get(rule, {})

    def growing(value, most):
        return lambda wildcards, attempt: min(
            value * 2 ** (attempt - 1), max(value, most)
        )

    return {
        key: growing(value, table["most"][key]) if key in table["most"] else value
        for key, value in first.items()
        if value
    }


def source_file():
    """The source where the user has put it, else where a storage plugin of Snakemake reads it
    (s3://... and the like), as a list of one file; none where the rule itself downloads it.
    """
    path = Path(SETTINGS["data_dir"]) / SETTINGS["source"].get("file", "")
    url = SETTINGS["source"].get("url", "")
    if path.is_file():
        return [str(path)]
    if root := zarr_root(path):
        return [str(root)]
    if "://" not in url or url.startswith(("http://", "https://")):
        return []
    return [storage(url, keep_local=True)]


def content(*files):
    """Parameter that makes a rule depend on the content of files that the user gave. As inputs they
    are `ancient()`: Snakemake looks at times first, and what replaces a file may be older.
    """
    return [records.content(Path(file)) for file in files if Path(file).exists()]


def digest_of(file):
    """The small file beside a large one that has its checksum, and is compared in its place."""
    return f"{file.rpartition('.')[0]}.digest.json"


def by_content(**files):
    """Inputs whose size grows with cells or pairs, by name: their time decides nothing, whatever
    their size, and the content of the digest beside each does."""
    large = {name: ancient(file) for name, file in files.items()}
    return large | {f"{name}_digest": digest_of(file) for name, file in files.items()}


def all_by_content(files):
    """The same of a list of files, as a list."""
    return [*map(ancient, files), *map(digest_of, files)]


def list_file(split):
    """The lists of held-out genes of a split, as a list of no or one file."""
    lists = SETTINGS["source"]["splits"][split].get("lists")
    return [lists] if lists else []


def embedding_file(arm):
    """The embedding an arm reads, as a list of no or one file."""
    name = arm_embedding(SETTINGS, arm)
    return [f"results/{SETTINGS['dataset']}/embeddings/{name}.h5ad"] if name else []


def provider_file(*arms):
    """The file that the vectors of arms come from, as a list of no or one file: a bundle has it,
    so that it can embed any gene. Its content decides by way of the vectors."""
    names = {arm_embedding(SETTINGS, arm) for arm in arms} - {None}
    file = PROVIDER_FILES[SETTINGS["embedding"]]
    return [ancient(file)] if names and file else []


def fitted_name(arm):
    """How the file is called that an arm is fitted into once, or None where it has none of its own:
    the arm that is fitted, with its negative control, and its number of neighbours."""
    fitted_as = load_arm(arm).fitted_as
    if fitted_as is None:
        return None
    control = negative_control(arm)
    name = f"{fitted_as}@{control}" if control else fitted_as
    return f"{name}.{arm_options(SETTINGS, arm)['topk_rag']}"


def fitted_file(split, arm, kind="fitted"):
    """The fitted expert that an arm reads, or what it expects of pairs, as by_content of it."""
    name = fitted_name(arm)
    home = f"results/{SETTINGS['dataset']}/{split}/expert"
    return all_by_content([f"{home}/{name}.{kind}.npz"] if name else [])


def like_fitted(split, arm, k):
    """The expert of the true vectors, where another arm reads it: as by_content of it."""
    if embedding_control(arm) is None:
        return []
    true = f"{base_name(arm)}.{k}"
    runs_it = any(fitted_name(run.arm) == true for run in RUNS)
    return fitted_file(split, base_name(arm)) if runs_it else []


def index_files(split, arm):
    """The index an arm reads, as a list of no file or all of them."""
    name = arm_index(SETTINGS, arm)
    if name is None:
        return []
    return multiext(
        f"results/{SETTINGS['dataset']}/{split}/index/{name}/",
        "index.faiss", "keys.tsv", "neighbours.tsv", "audit.json",
    )  # fmt: skip


def search_tables():
    """Results of the searches for hyper-parameters that the config asks for."""
    home, arm = f"results/{SETTINGS['dataset']}", SETTINGS["search"]["arm"]
    return [
        f"{home}/{split}/search/{arm}.tsv"
        for split in SETTINGS["source"]["splits"]
        if arm
    ]
