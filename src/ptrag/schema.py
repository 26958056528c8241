"""The JSON schema of the configuration: what it allows, and a fault in one line.

The line names the file that says it (``config.yaml``, one of ``--configfile``, or ``--config``),
the dotted key, what is wrong with the value, and the remedy.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptrag.base.errors import PtragError, did_you_mean

NAME_RULE = "may have small letters, digits and _ alone, since folders are called so"
_FLOAT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # what YAML 1.1 takes for a word
_TOP = "the top level"


class ConfigFiles:
    """The layers that a configuration was merged from, to say which of them set a key.

    Parameters
    ----------
    layers
        {name of the file: its content}, weakest first.
    """

    def __init__(self, layers: Mapping[str, Any]) -> None:
        self.layers = dict(layers)

    def of(self, key: Sequence[Any]) -> str:
        """Return the name of the last layer that has most of a key's path."""
        depths = {name: _depth(content, key) for name, content in self.layers.items()}
        most = max(depths.values())
        return [name for name, depth in depths.items() if depth == most][-1]

    def has(self, key: Sequence[Any]) -> bool:
        """Whether any layer sets a key."""
        return any(_depth(content, key) == len(key) for content in self.layers.values())

    def error(self, dotted: str, message: str, key: Sequence[Any] | None = None) -> PtragError:
        """Return the error of a key: ``file: key: message``."""
        path = dotted.split(".") if key is None else key
        return PtragError(f"{self.of(path)}: {dotted}: {message}")


def read_schema(path: str | Path) -> dict[str, Any]:
    """Read a JSON schema written as YAML."""
    import yaml

    # libyaml's, where there is one: every job of the workflow reads the schema
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)


def validate(
    config: Mapping[str, Any], schema: Mapping[str, Any], files: ConfigFiles
) -> dict[str, Any]:
    """Check a configuration, and read numbers written as ``1e-3``, which YAML takes for words.

    Returns
    -------
    dict
        ``config`` with those numbers.

    Raises
    ------
    PtragError
        On the first fault.
    """
    from jsonschema import Draft202012Validator

    if not isinstance(config, Mapping):
        raise PtragError(f"{files.of(())}: is no mapping of keys to values; see config.yaml")
    validator, config = Draft202012Validator(schema), copy.deepcopy(dict(config))
    while errors := sorted(validator.iter_errors(config), key=lambda e: list(map(str, e.path))):
        fault = _deepest(errors[0])
        if not _read_number(config, fault):
            key = [*fault.absolute_path, *([fault.instance] if _is_name(fault) else [])]
            raise PtragError(f"{files.of(key)}: {_explain(fault)}")
    return config


def allowed(schema: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the sub-schemas of a section's keys."""
    return schema["$defs"][section]["properties"]


def missing_key(settings: Mapping[str, Any], schema: Mapping[str, Any], section: str) -> str | None:
    """Return the first key that a section needs and has not: config.yaml sets them all."""

    def look(values: Mapping[str, Any], keys: Mapping[str, Any], place: str) -> str | None:
        for key, form in keys.items():
            if key not in values:
                return f"{place}.{key}"
            inner = form.get("properties")
            if inner and (lost := look(values[key], inner, f"{place}.{key}")):
                return lost
        return None

    return look(settings[section], allowed(schema, section), section)


def _depth(content: Any, key: Sequence[Any]) -> int:
    for depth, part in enumerate(key):
        if (isinstance(content, Mapping) and part in content) or (
            isinstance(content, list) and isinstance(part, int) and part < len(content)
        ):
            content = content[part]
        else:
            return depth
    return len(key)


def _deepest(error: Any) -> Any:
    """Follow anyOf/oneOf to the branch that matched furthest."""
    while error.context:
        error = max(error.context, key=lambda e: (len(e.absolute_path), e.validator != "type"))
    return error


def _read_number(config: dict[str, Any], error: Any) -> bool:
    """Turn ``1e-3`` into a number where one is wanted; return whether it was that."""
    if error.validator != "type":
        return False
    wanted, text = error.validator_value, error.instance
    kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    if not {"number", "integer"} & kinds:
        return False
    if not isinstance(text, str) or not _FLOAT.fullmatch(text):
        return False
    value = float(text)
    if "number" not in kinds and not value.is_integer():
        return False
    *path, last = error.absolute_path
    place: Any = config
    for part in path:
        place = place[part]
    place[last] = int(value) if value.is_integer() else value
    return True


def _is_name(error: Any) -> bool:
    """Whether a fault is of a key itself, not of its value."""
    return "propertyNames" in error.schema_path


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error.absolute_path) or _TOP
    inside = "" if key == _TOP else f"{key}."
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(k for k in error.instance if k not in known)
        return f"{inside}{unknown}: unknown key; {did_you_mean(unknown, known)}"
    if _is_name(error):
        if error.validator == "enum":
            remedy = did_you_mean(error.instance, error.validator_value)
            return f"{inside}{error.instance}: unknown key; {remedy}"
        if error.validator == "not":
            return (
                f"{inside}{error.instance}: is the name of a folder of the results; choose another"
            )
        return f"{inside}{error.instance}: a name {NAME_RULE}; rename it"
    if error.validator == "enum":
        options = [str(option) for option in error.validator_value]
        return f"{key}: {error.instance!r} is not one of {', '.join(options)}"
    if error.validator == "type":
        wanted = error.validator_value
        wanted = wanted if isinstance(wanted, str) else " or ".join(wanted)
        remedy = "; write it in quotes" if "string" in wanted and _is_plain(error.instance) else ""
        return f"{key}: {error.instance!r} is not of type {wanted}{remedy}"
    if error.validator == "required":
        return f"{key}: {error.message}; add it"
    if error.validator == "pattern":
        return f"{key}: {error.instance!r} does not have the form {error.validator_value}; mend it"
    return f"{key}: {error.message}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float)
