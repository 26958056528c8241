"""The configuration: checked key by key, then resolved for one data set.

Precedence, weakest first: the top-level sections of ``config.yaml``, the data
set's own ``settings:``, and ``override:`` (for the command line).
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptrag.arms.registry import base_name, embedding_control, load_arm
from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import Run

#: Words of `evaluation.contrasts`: every model, every simple baseline, an arm's own negative
#: controls, as far as they run.
EACH_MODEL, EACH_BASELINE, OWN_CONTROLS = "models", "baselines", "controls"
SECTIONS = (
    "arms", "seeds", "cells", "embedding", "embeddings", "model", "training", "prediction",
    "evaluation", "search", "arm_options", "resources",
)  # fmt: skip


def validate(config: dict[str, Any], schema: dict[str, Any], source: str = "config.yaml") -> None:
    """Check ``config`` against the JSON schema.

    Raises
    ------
    PtragError
        On the first fault: the dotted key, what is wrong with its value, the remedy.
    """
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda e: list(e.path))
    if errors:
        raise PtragError(f"{source}: {_explain(_deepest(errors[0]))}")


def _deepest(error: Any) -> Any:
    """Follow anyOf/oneOf to the branch that matched furthest."""
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    return error


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(k for k in error.instance if k not in known)
        inside = "" if key == "the top level" else f"{key}."
        return f"{inside}{unknown}: unknown key; {did_you_mean(unknown, known)}"
    if error.validator == "enum":
        options = [str(option) for option in error.validator_value]
        return f"{key}: {error.instance!r} is not one of {', '.join(options)}"
    if error.validator == "type":
        wanted = error.validator_value
        wanted = wanted if isinstance(wanted, str) else " or ".join(wanted)
        return f"{key}: {error.instance!r} is not of type {wanted}"
    if error.validator == "required":
        return f"{key}: {error.message}; add it"
    return f"{key}: {error.message}"


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; a later layer wins, lists and scalars are replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = copy.deepcopy(value)
    return merged


def resolve(
    config: dict[str, Any], schema: dict[str, Any], source: str = "config.yaml"
) -> dict[str, Any]:
    """Return the settings of the data set that runs.

    Parameters
    ----------
    config
        The whole configuration, as Snakemake hands it over.
    schema
        JSON schema of it.
    source
        File name for error messages.

    Returns
    -------
    dict
        ``dataset`` (its name), ``data_dir``, ``source`` (its entry of ``datasets:``) and the
        sections of :data:`SECTIONS`; ``oracle`` is an arm only where the truth is known.

    Raises
    ------
    PtragError
        For an unknown key, data set, arm, embedding or contrast, or a wrong type.
    """
    config = config | {"override": _typed(config.get("override", {}))}
    validate(config, schema, source)
    name = config["dataset"]
    if name not in config["datasets"]:
        raise PtragError(
            f"{source}: dataset: {name!r} is not in `datasets:`; "
            + did_you_mean(name, config["datasets"])
        )
    entry = config["datasets"][name]
    base = {section: config[section] for section in SECTIONS}
    settings = merge(base, entry.get("settings", {}), config["override"])
    settings |= {"dataset": name, "data_dir": config["data_dir"], "source": entry}
    if "simulate" not in entry:  # no truth is known
        settings["arms"] = [arm for arm in settings["arms"] if arm != "oracle"]
    _check_arms(settings, source)
    for split, spec in entry["splits"].items():
        if sum(spec.get("fractions", {}).values()) >= 1:
            raise PtragError(
                f"{source}: datasets.{name}.splits.{split}.fractions: val + test leave nothing "
                "to train on; make their sum smaller than 1"
            )
    return settings


def _typed(value: Any) -> Any:
    """Read every string inside ``value`` as YAML: Snakemake hands over those of `--config`."""
    import yaml

    if isinstance(value, dict):
        return {key: _typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_typed(part) for part in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def _check_arms(settings: dict[str, Any], source: str) -> None:
    contrasts = [
        name
        for arm, against in settings["evaluation"]["contrasts"]
        for name, words in ((arm, (EACH_MODEL,)), (against, (EACH_BASELINE, OWN_CONTROLS)))
        if name not in words
    ]
    searched = settings["search"]["arm"]
    if searched and load_arm(searched).family != "neural":
        raise PtragError(f"{source}: search.arm: {searched!r} is not trained; name a neural arm")
    for arm in [*settings["arms"], *contrasts, *filter(None, [searched])]:
        load_arm(arm)
        if base_name(arm) not in settings["arm_options"]:
            raise PtragError(
                f"{source}: arms: {arm!r} has no entry in `arm_options:`; "
                + did_you_mean(base_name(arm), settings["arm_options"])
            )
    if ceilings := [arm for arm in contrasts if load_arm(arm).family == "ceiling"]:
        raise PtragError(
            f"{source}: evaluation.contrasts: {ceilings[0]!r} predicts nothing that could be "
            "compared; leave it out"
        )
    missing = sorted(set(contrasts) - set(settings["arms"]))
    if missing:
        raise PtragError(
            f"{source}: evaluation.contrasts: {missing[0]!r} is not among `arms:`; add it there"
        )


def runs(settings: dict[str, Any]) -> Iterator[Run]:
    """Yield every run of the matrix splits × arms × seeds.

    An arm without randomness runs once, a ceiling not at all.
    """
    seeds_of = {"neural": settings["seeds"], "closed_form": [0], "ceiling": []}
    for split in settings["source"]["splits"]:
        for arm in settings["arms"]:
            seeds = seeds_of[load_arm(arm).family]
            for seed in seeds:
                yield Run(split, arm, seed)


ARMS_OWN = ("model", "training")
"""Sections of which an arm's entry of ``arm_options`` may change keys for itself."""


def arm_options(settings: dict[str, Any], arm: str) -> dict[str, Any]:
    """Return the options of an arm; a negative control has those of its arm."""
    entry = settings["arm_options"][base_name(arm)]
    return {key: value for key, value in entry.items() if key not in ARMS_OWN}


def arm_settings(settings: dict[str, Any], arm: str, section: str) -> dict[str, Any]:
    """Return section ``model`` or ``training`` as an arm has it: its own keys over the shared."""
    return merge(settings[section], settings["arm_options"][base_name(arm)].get(section, {}))


def arm_embedding(settings: dict[str, Any], arm: str) -> str | None:
    """Return the embedding an arm reads (``text``, ``text@shuffled``), or None.

    A ``@permuted`` arm reads the true one.
    """
    options = arm_options(settings, arm)
    if not (options.get("use_genept") or options.get("rag")):
        return None
    control = embedding_control(arm)
    return settings["embedding"] + (f"@{control}" if control else "")


def read_schema(path: str | Path) -> dict[str, Any]:
    """Read a JSON schema written as YAML."""
    import yaml

    # libyaml's, where there is one: every job of the workflow reads the schema
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(path).read_text(), Loader=loader)
