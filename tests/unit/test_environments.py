"""One set of versions everywhere; every rule has what a rule must have."""

import importlib.util
import re
from importlib.metadata import version

import pytest
import yaml
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def lock(root):
    spec = importlib.util.spec_from_file_location("lock", root / "envs/lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(lines):
    """Package -> pinned version of requirement lines."""
    needed = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    return {r.name.lower(): str(r.specifier).removeprefix("==") for r in needed}


def locked(root, *names):
    return pins(line for name in names for line in (root / "envs" / name).read_text().splitlines())


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_conda_pins_the_versions_of_the_lock(root, lock, kind):
    text = (root / f"envs/{kind}.yaml").read_text()
    python, _, pip = yaml.safe_load(text)["dependencies"]
    assert pins(pip["pip"]) == locked(root, "torch.txt", "requirements.txt")
    assert python == f"python={lock.PYTHON}"
    assert text == lock.conda(kind, lock.BUILDS[kind]), "make lock writes it"


def test_the_image_installs_the_lock_on_the_same_python(root, lock):
    recipe = (root / "envs/Containerfile").read_text()
    assert f"FROM python:{lock.PYTHON}-slim" in recipe
    assert 'ARG TORCH="-r envs/torch.txt"' in recipe
    assert "pip install --no-cache-dir -r envs/requirements.txt" in recipe


def test_what_is_installed_here_is_what_is_locked(root):
    for name, wanted in locked(root, "requirements.txt", "requirements-dev.txt").items():
        assert version(name) == wanted, name


def test_what_the_project_declares_is_locked(root):
    project = (root / "pyproject.toml").read_text()
    declared = re.search(r"^dependencies = \[(.*?)^\]", project, flags=re.M | re.S)[1]
    names = {name.lower() for name in re.findall(r'"([^"]+)"', declared)}
    assert names <= locked(root, "torch.txt", "requirements.txt").keys()


def test_every_rule_has_its_parts_and_is_called_like_its_script(root):
    seen = 0
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"^ *rule (?=\w+:\n)", path.read_text(), flags=re.M)[1:]:
            name = rule.split(":")[0]
            seen += 1
            assert rule.split("\n")[1].strip().startswith('"""'), f"{name}: no docstring"
            parts = ["input", "output", "log", "benchmark", "resources", "conda", "script"]
            if name == "fetch_genept":
                parts.remove("input")  # its file comes from outside, known by its checksum
            for part in parts:
                assert re.search(rf"^ +{part}:$", rule, flags=re.M), f"{name}: no {part}"
            assert f'**needs("{name}")' in rule
            assert f'"../../src/{name}.py"' in rule
            log = re.search(r"log:\n +\"(.*)\"", rule)[1]
            assert log.rpartition("/")[2].partition(".")[0] == name, log
    assert seen == len(list((root / "src").glob("*.py")))
