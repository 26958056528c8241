"""Manifest, its verification, and the RO-Crate that repeats it."""

import hashlib
import json

import pytest

from ptrag.base.errors import PtragError
from ptrag.base.files import read_json
from ptrag.cli import main
from ptrag.provenance.crate import crate, write_crate
from ptrag.provenance.manifest import verify, write_manifest

SETTINGS = {
    "dataset": "toy",
    "seeds": [4, 5],
    "source": {"simulated": True, "simulate": {"seed": 2}, "splits": {"a": {"seed": 9}, "b": {}}},
}
USED = "INFO used 6.5 CPU seconds and at most 310 MB of its own memory\n"
BENCHMARK = (
    "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    "{seconds}\t0:00:07\t1\t1\t1\t1\t0\t0\t0\t0\n"
)


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "results/toy"
    for name, text in {
        "comparison.tsv": "arm\tvalue\n",
        "a/ptrag/seed4/bundle/weights.safetensors": "weights",
        "a/ptrag/seed4/bundle/index/keys.tsv": "keys",
        "a/ptrag/seed4/benchmarks/train_arm.tsv": BENCHMARK.format(seconds=7.5),
        "a/ptrag/seed4/logs/train_arm.log": USED,
        "embeddings/benchmarks/embed_perturbations.text.tsv": BENCHMARK.format(seconds=0.1),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "source.h5ad").write_text("cells")
    files = [str(folder / "comparison.tsv"), str(folder / "a/ptrag/seed4/bundle")]
    write_manifest([str(tmp_path / "source.h5ad")], files, SETTINGS, folder / "manifest.json")
    return folder


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_it_says_what_was_read_and_made_and_with_which_seeds(home):
    manifest = read_json(home / "manifest.json")
    assert manifest["settings"] == SETTINGS
    assert manifest["seeds"] == {"arms": [4, 5], "splits": {"a": 9, "b": None}, "screen": 2}
    assert manifest["inputs"] == {"../../source.h5ad": digest("cells")}
    assert manifest["files"] == {
        "comparison.tsv": digest("arm\tvalue\n"),
        "a/ptrag/seed4/bundle/weights.safetensors": digest("weights"),
        "a/ptrag/seed4/bundle/index/keys.tsv": digest("keys"),
    }
    assert {"python", "torch", "snakemake"} <= manifest["packages"].keys()
    assert {"cpus", "memory_bytes", "gpus"} <= manifest["hardware"].keys()
    assert {"train_arm.py", "ptrag/provenance/manifest.py"} <= manifest["code"]["files"].keys()


def test_every_job_has_its_time_and_own_memory(home):
    assert read_json(home / "manifest.json")["jobs"] == {
        "train_arm": {"a/ptrag/seed4": {"seconds": 7.5, "cpu_seconds": 6.5, "own_mb": 310}},
        "embed_perturbations": {
            "embeddings/text": {"seconds": 0.1, "cpu_seconds": None, "own_mb": None}
        },
    }


def test_verify_names_what_was_changed_and_what_is_missing(home, capsys):
    assert main(["verify", str(home)]) == 0
    assert "all as made" in capsys.readouterr().out
    (home / "comparison.tsv").write_text("arm\tvalues\n")
    (home / "a/ptrag/seed4/bundle/weights.safetensors").unlink()
    (home / "../../source.h5ad").write_text("other cells")
    assert main(["verify", str(home)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(
        [
            f"{home}/../../source.h5ad: changed since the manifest was written",
            f"{home}/a/ptrag/seed4/bundle/weights.safetensors: missing",
            f"{home}/comparison.tsv: changed since the manifest was written",
        ]
    )
    assert last == f"{home}: 3 differ"


def test_without_a_manifest_it_says_how_to_get_one(tmp_path):
    with pytest.raises(PtragError, match=r"manifest\.json: no manifest; run `snakemake`"):
        verify(tmp_path / "manifest.json")


def test_the_crate_describes_every_file_and_refers_to_nothing_absent(home):
    write_crate(home / "manifest.json", home / "ro-crate-metadata.json")
    graph = json.loads((home / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph), "every @id once"
    root = entities["./"]
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert {"name", "description", "datePublished"} <= root.keys()
    assert "simulated" in root["name"]
    parts = [part["@id"] for part in root["hasPart"]]
    assert sorted(parts) == sorted(read_json(home / "manifest.json")["files"])
    assert all((home / part).is_file() and entities[part]["@type"] == "File" for part in parts)
    for entity in graph:
        for value in entity.values():
            for reference in value if isinstance(value, list) else [value]:
                if isinstance(reference, dict) and not reference["@id"].startswith("http"):
                    assert reference["@id"] in entities


def test_a_crate_of_code_outside_git_says_so(home):
    manifest = read_json(home / "manifest.json")
    manifest["code"]["git"] = None
    graph = crate(manifest, "2026-01-01")["@graph"]
    assert any("unknown commit" in entity.get("softwareVersion", "") for entity in graph)
