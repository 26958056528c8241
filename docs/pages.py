"""Reference pages that are made from what they describe: schema, arms, metrics, command.

``conf.py`` calls :func:`write` before every build. Nothing of these pages is typed twice: keys and
their meaning come from the schema, defaults from ``config.yaml``, the rest from the library.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
CONFIG = ROOT / "config.yaml"
ABSENT = object()
LAYERS = ("settings",)
"""Sub-schemas that repeat the top level: one key each, described where they stand."""


def write(folder: Path) -> None:
    """Write every page into ``folder``; a page that did not change keeps its time."""
    folder.mkdir(exist_ok=True)
    pages = {
        "config.md": config_page(),
        "arms.md": arms_page(),
        "metrics.md": metrics_page(),
        "commands.md": commands_page(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def config_page() -> str:
    """Return the page of every configuration key: type, default, meaning."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    lines = [
        "# Configuration keys",
        "",
        "Made from `workflow/schemas/config.schema.yaml` and `config.yaml`. A key that is not "
        "here, or a value of another type, is an error that names the file, the key and the "
        "remedy.",
        "",
        "An entry of `datasets:` has its own `settings:`, which are merged over the top level, and "
        "`override:` is merged over both.",
        "",
    ]
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    for section, key, form, default in rows(schema, config):
        meaning = form.get("description", "")
        sections.setdefault(section, []).append((key, kind(form), shown(default), meaning))
    for section, keys in sections.items():
        lines += [f"## {section}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [f"| `{key}` | {of} | {value} | {text} |" for key, of, value, text in keys]
        lines.append("")
    return "\n".join(lines)


def rows(
    schema: dict[str, Any], config: dict[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """Yield (section, key, sub-schema, default) of every key that a user can set."""
    plain = []
    for key, form in schema["properties"].items():
        full = resolved(form, schema)
        if "properties" in full and form.get("$ref", "").rpartition("/")[2] not in LAYERS:
            for inner in _keys("", full, config.get(key, {}), schema):
                yield (f"{key}:", *inner)
        elif isinstance(full.get("additionalProperties"), dict):
            continue  # by name: their keys are sections of their own, below
        else:
            plain.append(("Top level", key, full, config.get(key, ABSENT)))
    yield from plain
    defs = schema["$defs"]
    for name, title in (
        ("arm_options", "arm_options: NAME:"),
        ("dataset", "datasets: NAME:"),
        ("split", "datasets: NAME: splits: NAME:"),
    ):
        for key, form, default in _keys("", defs[name], {}, schema):
            yield title, key, form, default
    needs = resolved(schema["properties"]["resources"], schema)["additionalProperties"]
    for key, form, default in _keys("", needs, {}, schema):
        yield "resources: RULE:", key, form, default


def _keys(
    before: str, section: dict[str, Any], values: Any, schema: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for key, form in section.get("properties", {}).items():
        reference = form.get("$ref", "").rpartition("/")[2]
        full = resolved(form, schema)
        value = values.get(key, ABSENT) if isinstance(values, dict) else ABSENT
        if "properties" in full and not reference:
            yield from _keys(f"{before}{key}.", full, value, schema)
        else:
            yield f"{before}{key}", full, value


def resolved(form: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a sub-schema with its reference followed; what it says itself comes first."""
    if "$ref" not in form:
        return form
    name = form["$ref"].rpartition("/")[2]
    return schema["$defs"][name] | {key: form[key] for key in form if key != "$ref"}


def kind(form: dict[str, Any]) -> str:
    """Return the type or the values of a key, in words."""
    if "enum" in form:
        return " or ".join(f"`{value}`" for value in form["enum"])
    if "const" in form:
        return f"`{form['const']}`"
    if "anyOf" in form:
        return " or ".join(dict.fromkeys(kind(choice) for choice in form["anyOf"]))
    if "properties" in form and "type" not in form:
        return "mapping"
    names = form.get("type", "anything")
    names = names if isinstance(names, list) else [names]
    words = {"array": "list", "object": "mapping", "integer": "whole number", "string": "text",
             "boolean": "`true` or `false`", "null": "`null`"}  # fmt: skip
    text = " or ".join(words.get(name, name) for name in names)
    signs = {"minimum": "≥", "exclusiveMinimum": "&gt;", "maximum": "≤", "exclusiveMaximum": "&lt;"}
    bounds = [f"{sign} {form[key]:g}" for key, sign in signs.items() if key in form]
    return ", ".join([text, *bounds])


def shown(default: Any) -> str:
    """Return a default as YAML on one line; nothing where there is none."""
    if default is ABSENT:
        return ""
    text = yaml.safe_dump(default, default_flow_style=True, allow_unicode=True, width=10**6)
    text = text.strip().removesuffix("...").strip()
    return f"`{text}`".replace("|", "\\|")


def arms_page() -> str:
    """Return the page of every arm: its docstring, which has the equation and the origin."""
    from ptrag.arms.registry import arm_names, load_arm
    from ptrag.comparison.contrasts import kind_of

    kinds = {"model": "Models", "baseline": "Simple baselines", "ceiling": "Ceilings"}
    lines = ["# Every arm", "", "Made from `src/ptrag/arms/catalogue`, a file per arm.", ""]
    by_kind: dict[str, list[str]] = {}
    for name in arm_names():
        by_kind.setdefault(kind_of(name), []).append(name)
    lines += ["| arm | kind | how it predicts | origin |", "|---|---|---|---|"]
    for of_kind in kinds:
        for name in by_kind.get(of_kind, []):
            arm = load_arm(name)
            lines.append(f"| [`{name}`](#arm-{name}) | {of_kind} | {arm.summary} | {arm.origin} |")
    for of_kind, title in kinds.items():
        lines += ["", f"## {title}", ""]
        for name in by_kind.get(of_kind, []):
            lines += [
                f"(arm-{name})=", f"### {name}", "", "```{eval-rst}",
                f".. automodule:: ptrag.arms.catalogue.{name}", "   :no-members:", "```", "",
            ]  # fmt: skip
    return "\n".join(lines)


def metrics_page() -> str:
    """Return the page of every metric, by family."""
    from ptrag.metrics.registry import METRICS

    lines = [
        "# Every metric", "", "Made from `src/ptrag/metrics/registry.py`; the equations stand in "
        "the modules of `src/ptrag/metrics`. `metrics.tsv` and `comparison.tsv` name metrics as "
        "the first column does.", "", "| metric | label | family | better | what it is |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, metric in METRICS.items():
        better = "higher" if metric.higher else "lower"
        text = metric.text.replace("|", "\\|")
        lines.append(f"| `{name}` | {metric.label} | {metric.family} | {better} | {text} |")
    return "\n".join([*lines, ""])


def commands_page() -> str:
    """Return what ``ptrag COMMAND --help`` says, for every command."""
    from ptrag.arguments import parser

    os.environ["COLUMNS"] = "96"
    action = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    lines = ["# The `ptrag` command", "", "Made from what `ptrag COMMAND --help` says.", ""]
    for name, command in action.choices.items():
        lines += [f"## ptrag {name}", "", "```text", command.format_help().rstrip(), "```", ""]
    return "\n".join(lines)
