"""The reference pages say what the schema, the library and the command say."""

import importlib.util
import re

import pandas as pd
import pytest
import yaml
from documents import languages, split

from ptrag.arms.registry import arm_names
from ptrag.base.files import write_table
from ptrag.metrics.registry import METRICS


def script(root, name):
    """Import a script of ``docs``."""
    spec = importlib.util.spec_from_file_location(name, root / f"docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(root):
    return script(root, "pages")


@pytest.fixture(scope="module")
def keys(pages):
    schema = yaml.safe_load(pages.SCHEMA.read_text())
    config = yaml.safe_load(pages.CONFIG.read_text())
    return list(pages.rows(schema, config))


def test_every_key_is_described(keys):
    assert len(keys) > 100
    assert [(s, k) for s, k, form, _ in keys if not form.get("description")] == []


def test_every_default_of_the_configuration_is_on_the_page(pages, keys, root):
    """Walk ``config.yaml`` itself: no key of it is missing from the page."""
    on_page = {f"{section.rstrip(':')}.{key}" for section, key, _, _ in keys}
    config = yaml.safe_load((root / "config.yaml").read_text())
    by_name = ("arm_options", "resources", "datasets", "override")
    for section, values in config.items():
        if isinstance(values, dict) and section not in by_name:
            for key, value in values.items():
                inner = value if section == "embeddings" and isinstance(value, dict) else {None: 0}
                for last in inner:
                    name = f"{section}.{key}" + (f".{last}" if last else "")
                    assert name in on_page, name
        else:
            assert section in by_name or f"Top level.{section}" in on_page, section
    row = re.search(r"^\| `min_cells` .*$", pages.config_page(), re.M)[0]
    assert f"| `{config['cells']['min_cells']}` |" in row


def test_arms_metrics_and_commands_are_all_there(pages):
    arms, metrics, commands = pages.arms_page(), pages.metrics_page(), pages.commands_page()
    assert all(f"automodule:: ptrag.arms.catalogue.{name}\n" in arms for name in arm_names())
    assert all(f"| `{name}` |" in metrics for name in METRICS)
    for name in ("predict", "evaluate", "verify", "arms"):
        assert f"## ptrag {name}\n" in commands and f"usage: ptrag {name}" in commands


def test_every_block_says_what_it_is(root):
    """A block without a language could hold a command that no test sees."""
    unseen = ("", "console", "sh", "shell")
    assert [(page, of) for page, of in languages(root) if of in unseen] == []


def test_blocks_fall_into_whole_commands():
    block = "a \\\n  b\ncat > f <<'END'\nx: 1\nEND\n# words\n\nsnakemake --config 'o={\n 1}'\n"
    assert split(block) == [
        "a \\\n  b", "cat > f <<'END'\nx: 1\nEND", "snakemake --config 'o={\n 1}'",
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="no whole command"):
        split("echo 'half\n")


def test_the_pictures_are_those_that_the_script_draws(root, tmp_path, monkeypatch):
    draw = script(root, "draw_images")
    rows = [
        (split, "test", arm, metric, 0.3 + i / 10, 0.2 + i / 10, 0.4 + i / 10)
        for split in ("genes", "hepg2")
        for metric in ("pearson_delta", "mse")
        for i, arm in enumerate(("control", "knn", "ptrag", "ptrag@shuffled"))
    ]
    columns = ["split", "role", "arm", "metric", "mean", "low", "high"]
    write_table(pd.DataFrame(rows, columns=columns), tmp_path / "comparison.tsv")
    monkeypatch.setattr(draw, "HERE", tmp_path)
    draw.main(tmp_path)
    assert (tmp_path / "idea.svg").read_bytes() == (root / "docs/images/idea.svg").read_bytes()
    drawn = (tmp_path / "report.svg").read_text(encoding="utf-8")
    assert "simulated screen" in drawn and ">knn<" in drawn and ">control<" not in drawn
    assert "simulated screen" in (root / "docs/images/report.svg").read_text(encoding="utf-8")
