"""The results folder as an RO-Crate, so that other people's tools see what it holds.

``ro-crate-metadata.json`` follows RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) with one
CreateAction, as Process Run Crate asks. It says nothing that the manifest does not say.
"""

import mimetypes
import time
from pathlib import Path
from typing import Any

from ptrag.base.files import read_json, write_json

NAME = "ro-crate-metadata.json"


def write_crate(manifest: str | Path, out: str | Path) -> None:
    """Write the crate of the folder that ``manifest`` stands in."""
    write_json(crate(read_json(manifest), time.strftime("%Y-%m-%d")), out)


def crate(manifest: dict[str, Any], date: str) -> dict[str, Any]:
    """Return the JSON-LD of a manifest's results.

    Inputs lie outside the folder, so they are named by their hash and not packed.
    """
    settings, code = manifest["settings"], manifest["code"]
    files = [_file(name, digest) for name, digest in manifest["files"].items()]
    inputs = [
        {"@id": f"#sha256:{digest}", "@type": "CreativeWork", "name": Path(name).name,
         "sha256": digest}
        for name, digest in manifest["inputs"].items()
    ]  # fmt: skip
    simulated = " (simulated)" if settings["source"].get("simulated") else ""
    commit = code["git"]["commit"] if code["git"] else "unknown commit"
    graph = [
        {
            "@id": NAME, "@type": "CreativeWork", "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {
            "@id": "./", "@type": "Dataset", "datePublished": date,
            "name": f"ptrag results on {settings['dataset']}{simulated}",
            "description": "Predicted responses of single cells to gene perturbations, scored and "
            "compared: start with report.html; manifest.json says what made it.",
            "hasPart": _ids(files), "mentions": {"@id": "#run"},
        },
        {
            "@id": "#run", "@type": "CreateAction", "name": "snakemake", "endTime": date,
            "instrument": {"@id": "#ptrag"}, "object": _ids(inputs), "result": _ids(files),
        },
        {
            "@id": "#ptrag", "@type": "SoftwareApplication", "name": "ptrag",
            "softwareVersion": f"{code['version']}, {commit}",
        },
    ]  # fmt: skip
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph + inputs + files}


def _file(name: str, digest: str) -> dict[str, str]:
    kind = {".h5ad": "application/x-hdf5", ".tsv": "text/tab-separated-values"}
    guessed = kind.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    about = {"@id": name, "@type": "File", "name": Path(name).name, "sha256": digest}
    return about | ({"encodingFormat": guessed} if guessed else {})


def _ids(entities: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"@id": entity["@id"]} for entity in entities]
