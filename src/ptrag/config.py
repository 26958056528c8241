"""The configuration: checked key by key, then resolved for one data set.

Precedence, weakest first: the top-level sections of ``config.yaml``, the data
set's own ``settings:``, and ``override:`` (for the command line).
"""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ptrag.arms.registry import (
    REASSIGNED,
    arm_names,
    base_name,
    embedding_control,
    load_arm,
    negative_control,
)
from ptrag.base.errors import PtragError, did_you_mean
from ptrag.base.names import Run
from ptrag.genes.names import compiled
from ptrag.schema import ConfigFiles, allowed, missing_key, validate

#: Words of `evaluation.contrasts`: every model, every simple baseline, an arm's own negative
#: controls, as far as they run.
EACH_MODEL, EACH_BASELINE, OWN_CONTROLS = "models", "baselines", "controls"
SECTIONS = (
    "arms", "seeds", "cells", "embedding", "embeddings", "model", "training", "prediction",
    "evaluation", "search", "arm_options", "resources",
)  # fmt: skip
COMPLETE = ("cells", "embeddings", "model", "training", "prediction", "evaluation", "search")
"""Sections of which every key must be there."""


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
    config: dict[str, Any],
    schema: dict[str, Any],
    files: ConfigFiles | None = None,
    home: str | Path = ".",
) -> dict[str, Any]:
    """Return the settings of the data set that runs.

    Parameters
    ----------
    config
        The whole configuration, as Snakemake hands it over.
    schema
        JSON schema of it.
    files
        The files it was merged from, for messages; None: it is ``config.yaml``.
    home
        The project's folder: what is not found from the working directory is taken from there.

    Returns
    -------
    dict
        ``dataset`` (its name), ``data_dir``, ``source`` (its entry of ``datasets:``) and the
        sections of :data:`SECTIONS`; ``oracle`` is an arm only where the truth is known.

    Raises
    ------
    PtragError
        For an unknown key, data set, arm, embedding or contrast, a wrong type, a pattern that
        does not compile, or a file that is named and not there.
    """
    files = files or ConfigFiles({"config.yaml": config})
    config = validate(config | {"override": _typed(config.get("override", {}))}, schema, files)
    name = config["dataset"]
    if name not in config["datasets"]:
        remedy = did_you_mean(name, config["datasets"])
        raise files.error("dataset", f"{name!r} is not in `datasets:`; {remedy}")
    entry = config["datasets"][name]
    base = {section: config[section] for section in SECTIONS}
    settings = merge(base, entry.get("settings", {}), config["override"])
    settings |= {"dataset": name, "data_dir": config["data_dir"], "source": entry}
    if "simulate" not in entry:  # no truth is known
        settings["arms"] = [arm for arm in settings["arms"] if arm != "oracle"]
    lost = [missing_key(settings, schema, section) for section in COMPLETE]
    lost += [f"resources.{key}" for key in ("default", "most") if key not in settings["resources"]]
    for key in filter(None, lost):
        raise files.error(key, "is missing; the shipped config.yaml has its default")
    _check_arms(settings, files)
    _check_search(settings, schema, files)
    check_entry(name, entry, files)
    return located(settings, Path(home), files)


def _typed(value: Any) -> Any:
    """Read every string inside ``value`` as YAML: Snakemake hands over those of `--config`."""
    import yaml

    if isinstance(value, dict):
        return {key: _typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_typed(part) for part in value]
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _fault(
    settings: dict[str, Any], files: ConfigFiles, key: Sequence[str], message: str
) -> PtragError:
    """Return the error of a setting, under the name that it has where it was set last."""
    layers = (["override"], ["datasets", settings["dataset"], "settings"], [])
    place = next((p for layer in layers if files.has(p := [*layer, *key])), list(key))
    return files.error(".".join(place), message, place)


def _check_arms(settings: dict[str, Any], files: ConfigFiles) -> None:
    for arm in settings["arm_options"]:
        if arm not in arm_names():
            remedy = did_you_mean(arm, arm_names())
            raise _fault(settings, files, ["arm_options", arm], f"there is no such arm; {remedy}")
    contrasts = [
        name
        for arm, against in settings["evaluation"]["contrasts"]
        for name, words in ((arm, (EACH_MODEL,)), (against, (EACH_BASELINE, OWN_CONTROLS)))
        if name not in words
    ]
    searched = settings["search"]["arm"]
    _check_named(settings, files, ["arms"], settings["arms"])
    _check_named(settings, files, ["evaluation", "contrasts"], contrasts)
    if searched:
        _check_named(settings, files, ["search", "arm"], [searched])
        if load_arm(searched).family != "neural":
            message = f"{searched!r} is not trained; name a neural arm"
            raise _fault(settings, files, ["search", "arm"], message)
    if ceilings := [arm for arm in contrasts if load_arm(arm).family == "ceiling"]:
        message = f"{ceilings[0]!r} predicts nothing that could be compared; leave it out"
        raise _fault(settings, files, ["evaluation", "contrasts"], message)
    missing = sorted(set(contrasts) - set(settings["arms"]))
    if missing:
        message = f"{missing[0]!r} is not among `arms:`; add it there"
        raise _fault(settings, files, ["evaluation", "contrasts"], message)


def _check_named(
    settings: dict[str, Any], files: ConfigFiles, key: Sequence[str], arms: Sequence[str]
) -> None:
    """Check that arms exist, have options, and read the embedding that they are to be denied."""
    for arm in arms:
        try:
            load_arm(arm)
        except PtragError as error:
            raise _fault(settings, files, key, str(error)) from None
        base = base_name(arm)
        if base not in settings["arm_options"]:
            remedy = did_you_mean(base, settings["arm_options"])
            message = f"{arm!r} has no entry in `arm_options:`; {remedy}"
            raise _fault(settings, files, key, message)
        if embedding_control(arm) and arm_embedding(settings, arm) is None:
            message = f"{arm!r} denies `{base}` its embedding, and it reads none; leave it out"
            raise _fault(settings, files, key, message)
        if negative_control(arm) == REASSIGNED and arm_index(settings, arm) is None:
            message = f"{arm!r} denies `{base}` its candidates, and it has none; leave it out"
            raise _fault(settings, files, key, message)


def _check_search(settings: dict[str, Any], schema: dict[str, Any], files: ConfigFiles) -> None:
    """Check that what is searched for is a setting, and every value one that it may have."""
    from jsonschema import Draft202012Validator

    for dotted, values in settings["search"]["space"].items():
        section, _, key = dotted.partition(".")
        known = allowed(schema, "arm_options" if section == "options" else section)
        place = ["search", "space", dotted]
        if key not in known:
            remedy = did_you_mean(key, known)
            raise _fault(settings, files, place, f"{section} has no key '{key}'; {remedy}")
        drawn = values["choices"] if "choices" in values else [values["low"], values["high"]]
        for value in drawn:
            for error in Draft202012Validator(known[key]).iter_errors(value):
                raise _fault(settings, files, place, error.message)
        if "low" in values and values["low"] >= values["high"]:
            raise _fault(settings, files, place, "low must be below high")
        if values.get("log") and values.get("low", 1) <= 0:
            raise _fault(settings, files, place, "log needs low above 0")


def check_entry(name: str, entry: dict[str, Any], files: ConfigFiles) -> None:
    """Check what the schema cannot: patterns and fractions of a data set.

    Raises
    ------
    PtragError
        That names the key.
    """
    place = f"datasets.{name}"
    control = entry["control"]
    patterns = {"perturbation_pattern": (entry.get("perturbation_pattern"), 1)}
    if isinstance(control, dict):
        patterns["control.pattern"] = (control["pattern"], 0)
    for key, (pattern, groups) in patterns.items():
        if pattern is None:
            continue
        try:
            compiled(key, pattern, groups)
        except PtragError as error:
            raise files.error(f"{place}.{key}", str(error).removeprefix(f"{key}: ")) from None
    for split, spec in entry["splits"].items():
        if sum(spec.get("fractions", {}).values()) >= 1:
            raise files.error(
                f"{place}.splits.{split}.fractions",
                "val + test leave nothing to train on; make their sum smaller than 1",
            )


def located(settings: dict[str, Any], home: Path, files: ConfigFiles) -> dict[str, Any]:
    """Return settings whose paths of files are found: from here, from the home, or under ``~``.

    Raises
    ------
    PtragError
        For a table, list or gene text that is not there, or ``embedding: table`` without a table.
    """
    settings = copy.deepcopy(settings)
    name, source, embeddings = settings["dataset"], settings["source"], settings["embeddings"]
    settings["data_dir"] = str(Path(settings["data_dir"]).expanduser())
    if "file" in source:
        source["file"] = str(Path(source["file"]).expanduser())
    if settings["embedding"] == "table" and not embeddings["table"]["path"]:
        raise files.error(
            "embeddings.table.path", "`embedding: table` needs your table of vectors; name it here"
        )
    places = [(embeddings["text"], "gene_text", "embeddings.text")]
    if embeddings["table"]["path"]:
        places.append((embeddings["table"], "path", "embeddings.table"))
    if "simulate" in source:
        places.append((source["simulate"], "gene_text", f"datasets.{name}.simulate"))
    if "file" in source.get("predict", {}):
        places.append((source["predict"], "file", f"datasets.{name}.predict"))
    for split, spec in source["splits"].items():
        if "lists" in spec:
            places.append((spec, "lists", f"datasets.{name}.splits.{split}"))
    for section, key, place in places:
        path = Path(section[key]).expanduser()
        if not path.exists() and not path.is_absolute() and (home / path).exists():
            path = home / path
        if not path.is_file():
            raise files.error(f"{place}.{key}", f"there is no file {section[key]}; mend the path")
        section[key] = str(path)
    return settings


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

    ``@permuted`` and ``@reassigned`` arms read the true one.
    """
    options = arm_options(settings, arm)
    if not (options.get("use_genept") or options.get("rag")):
        return None
    control = embedding_control(arm)
    return settings["embedding"] + (f"@{control}" if control else "")


def arm_index(settings: dict[str, Any], arm: str) -> str | None:
    """Return the index an arm reads (``text``, ``text@reassigned``), or None.

    It is called like the embedding that it is made of.
    """
    if not arm_options(settings, arm).get("rag"):
        return None
    name = arm_embedding(settings, arm)
    return f"{name}@{REASSIGNED}" if negative_control(arm) == REASSIGNED else name
