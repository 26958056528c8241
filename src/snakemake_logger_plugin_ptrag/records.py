"""What the records of Snakemake say, as far as both consoles need it."""

import logging
from logging import LogRecord

CHATTER = (
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "Complete log(s)",
    "Conda environments: ignored",
    "Elapsed time",
    "Execute ",
    "Exiting because a job execution failed",
    "Group jobs: inactive",
    "Provided cores",
    "Reasons:",
    "Removing temporary output",
    "RuleException:\nCalledProcessError",
    "Rules claiming more threads",
    "Rules with provenance triggered jobs",
    "Select jobs to execute",
    "Shutting down, this might take some time",
    "Singularity containers: ignored",
    "Some jobs were triggered by provenance",
    "This was a dry-run",
    "Using shell",
    "WorkflowError:\nAt least one job did not complete successfully",
    "host:",
)
"""How messages begin that tell a person nothing, or what the end of a failed run says better.
What is not known here is printed."""

NOTHING = "Nothing to be done"
STOPPED = "Terminating processes on user request"


def message(record: LogRecord) -> str:
    """Return the text of a record that is no event, or an error; empty where it says nothing."""
    text = str(record.msg or "").strip()
    if record.levelno < logging.INFO or text.startswith(CHATTER):
        return ""
    return text


def place(wildcards: dict[str, str]) -> str:
    """Return what tells a job from the others of its rule: split, arm and seed, or an embedding."""
    parts = {key: value for key, value in wildcards.items() if key != "dataset"}
    if "seed" in parts:
        parts["seed"] = f"seed {parts['seed']}"
    return " ".join(parts.values())
