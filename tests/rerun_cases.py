"""What reruns when something changes: the table of docs/reruns.md, which the tests check.

``python tests/rerun_cases.py`` writes the table into the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

PAGE = Path(__file__).parents[1] / "docs/reruns.md"
HEAD = "| what changed | rules that run | arms trained |\n|---|---|---|\n"

PIPELINE = (
    "simulate_screen", "build_cells", "draw_split", "embed_perturbations", "build_index",
    "build_reference", "fit_expert", "fit_closed_forms", "train_arm", "predict_arm", "evaluate_arm",
    "compare_arms", "write_report", "write_manifest",
)  # fmt: skip
"""The rules of the tiny project, in order."""

REPORT = {"write_report", "write_manifest"}
COMPARE = {"compare_arms"} | REPORT
SCORE = {"evaluate_arm"} | COMPARE
TRAIN = {"train_arm", "predict_arm"} | SCORE
BOTH = ("ptrag", "state")


@dataclass(frozen=True)
class Case:
    """One change of one file, and what has to run because of it."""

    what: str
    file: str
    edit: Callable[[str], str]
    rules: frozenset[str]
    trained: tuple[str, ...] = ()


def module(name: str, role: str, rules: set[str], trained: tuple[str, ...] = ()) -> Case:
    """Add a line to a module of the library."""
    return Case(
        f"{role} (`{name}`)", f"src/ptrag/{name}", lambda text: text + "\nEDIT = 1\n",
        frozenset(rules), trained,
    )  # fmt: skip


def value(key: str, new: object, rules: set[str], trained: tuple[str, ...] = ()) -> Case:
    """Change a value of the tiny data set's own settings."""

    def edit(text: str) -> str:
        config = yaml.safe_load(text)
        section = config["datasets"]["tiny"]["settings"]
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[last] = new
        return yaml.safe_dump(config, sort_keys=False)

    return Case(
        f"`{key}: {new}` in the configuration", "config.yaml", edit, frozenset(rules), trained
    )


def comment(name: str) -> Case:
    """Add a comment and change a docstring: code that does the same."""
    return Case(
        f"a comment or a docstring (`{name}`)", f"src/ptrag/{name}",
        lambda text: text.replace('"""', '"""Read. ', 1) + "\n# a remark\n", frozenset(),
    )  # fmt: skip


INDEX = {"build_index", "fit_expert", "fit_closed_forms"} | TRAIN
CASES = (
    # one row for each room of src/ptrag
    module("base/correlation.py", "the correlation",
           {"build_reference", "fit_expert", "fit_closed_forms"} | TRAIN, BOTH),
    module("genes/providers.py", "the embeddings", {"embed_perturbations"} | INDEX, ("ptrag",)),
    module("cells/opening.py", "how a source is read", set(PIPELINE) - {"simulate_screen"}, BOTH),
    module("splits/leakage.py", "the leak audit", {"build_reference"} | INDEX, BOTH),
    module("retrieval/index.py", "the index", INDEX, BOTH),
    module("simulate/screen.py", "the simulated screen", set(PIPELINE), BOTH),
    module("arms/expert/posterior.py", "the expert", {"fit_expert", "fit_closed_forms"} | SCORE),
    module("arms/neural/backbone.py", "the networks' backbone", TRAIN, BOTH),
    module("arms/neural/refinement.py", "the retrieval block", TRAIN, ("ptrag",)),
    module("arms/catalogue/state.py", "one neural arm", TRAIN, ("state",)),
    module("arms/catalogue/line_mean.py", "one closed-form arm", {"fit_closed_forms"} | SCORE),
    module("training/module.py", "the training step", TRAIN, BOTH),
    module("prediction/closed_form.py", "how closed forms predict",
           {"fit_closed_forms", "predict_arm"} | SCORE),
    module("metrics/distribution.py", "a metric", {"build_reference"} | SCORE),
    module("evaluation/scoring.py", "the scoring", {"build_reference"} | SCORE),
    module("comparison/statistics.py", "the statistics", COMPARE),
    module("comparison/claims.py", "the claims", COMPARE),
    module("report/page.py", "the report", REPORT),
    module("provenance/manifest.py", "the manifest", {"write_manifest"}),
    module("provenance/download.py", "the download", set()),
    module("cli.py", "the command", set()),
    comment("arms/neural/backbone.py"),
    value("seeds", [1, 2], TRAIN, BOTH),
    value("training.learning_rate", 0.002, TRAIN, BOTH),
    value("arm_options.ptrag.gumbel_sparsity_weight", 0.2, TRAIN, ("ptrag",)),
    value("prediction.cells_per_pair", 24, {"build_reference", "fit_closed_forms", "predict_arm"}
          | SCORE),
    value("cells.min_cells", 6, set(PIPELINE) - {"simulate_screen", "build_cells",
                                                "embed_perturbations"}, BOTH),
    value("evaluation.n_pcs", 8, {"build_reference"} | SCORE),
    value("evaluation.bootstrap", 300, COMPARE),
    value("resources.train_arm.mem_mb", 9000, REPORT),
)  # fmt: skip

NOTHING = (
    "nothing: a second `snakemake`",
    "every file touched, of any size",
    "`results/` copied into a fresh clone, with or without its times",
)


def table() -> str:
    """Return the table of the page."""
    rows = [f"| {what} | none | |" for what in NOTHING]
    for case in CASES:
        rules = ", ".join(f"`{rule}`" for rule in PIPELINE if rule in case.rules)
        rules = "all" if case.rules == set(PIPELINE) else rules or "none"
        rows.append(f"| {case.what} | {rules} | {', '.join(case.trained)} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    text = PAGE.read_text()
    start = text.index(HEAD)
    end = text.find("\n\n", start)
    PAGE.write_text(text[:start] + table() + (text[end + 1 :] if end > 0 else ""))
