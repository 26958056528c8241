"""What other tools read of the project: CI, the catalogue, citation, the version."""

import re
import tomllib

import pytest
import yaml

import ptrag
from ptrag.config import resolve
from ptrag.schema import ConfigFiles, read_schema

WORKFLOWS = ("ci", "release")


def steps(root, name):
    """Every step of a GitHub workflow."""
    jobs = yaml.safe_load((root / f".github/workflows/{name}.yml").read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_ci_runs_commands_that_are_here(root, name):
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), flags=re.M))
    called = [step["run"].split()[1] for step in steps(root, name)
              if step.get("run", "").startswith("make ")]  # fmt: skip
    assert set(called) <= targets
    if name == "ci":
        assert {"lint", "test", "docs", "demo", "container"} <= set(called)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_of_others_have_a_version(root, name):
    used = [step["uses"] for step in steps(root, name) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action) for action in used)


def test_the_catalogue_finds_what_it_shows(root):
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"]
    assert (root / "workflow/Snakefile").is_file()
    assert (root / "config/README.md").is_file()
    assert (root / "LICENSE").is_file()


def test_the_example_of_the_configuration_page_is_accepted(root):
    block = re.search(r"```yaml\n(.*?)```", (root / "config/README.md").read_text(), flags=re.S)[1]
    own = yaml.safe_load(block)
    config = yaml.safe_load((root / "config.yaml").read_text())
    config |= own | {"datasets": config["datasets"] | own["datasets"]}
    schema = read_schema(root / "workflow/schemas/config.schema.yaml")
    settings = resolve(config, schema, ConfigFiles({"mine.yaml": config}), root)
    assert settings["dataset"] == "mine"


def test_the_citation_is_whole(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    needed = {"cff-version", "title", "message", "authors", "abstract", "keywords", "license",
              "type", "references"}  # fmt: skip
    assert needed <= citation.keys()
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]


def test_the_version_is_in_no_file_of_the_code(root):
    """It would be in every digest of code, and a release would train everything again."""
    assert "version" not in vars(ptrag)
    assert re.match(r"\d|unknown$", ptrag.__version__)
    with pytest.raises(AttributeError, match="no attribute 'versions'"):
        _ = ptrag.versions
    for path in (root / "src").rglob("*.py"):
        assert not re.search(r"^__version__ *=", path.read_text(), flags=re.M), path
