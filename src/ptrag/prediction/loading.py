"""Reading a bundle: every file is compared with its hash, and nothing in it is executed."""

from pathlib import Path
from typing import Any

import numpy as np

from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import read_json, sha256
from ptrag.genes.any_gene import AnyGene
from ptrag.genes.embeddings import read_embedding
from ptrag.genes.vectors import Provider
from ptrag.prediction.bundle import EMBEDDING, FORMAT, LINES, WEIGHTS, Bundle, facts_digest
from ptrag.prediction.closed_form import ClosedFormPredictor
from ptrag.prediction.lines import Lines


def load_bundle(folder: str | Path, device: str | None = None) -> Bundle:
    """Read a bundle.

    Parameters
    ----------
    folder
        What :func:`ptrag.prediction.bundle.write_bundle` wrote.
    device
        Where a network predicts; None: a GPU if there is one.

    Raises
    ------
    PtragError
        If the folder is no bundle, or a file in it is not the one that was written.
    """
    folder = Path(folder)
    about = _checked(folder)
    with np.load(folder / LINES, allow_pickle=False) as file:
        lines = Lines.of_arrays(dict(file))
    embedding = any_gene = None
    if EMBEDDING in about["files"]:
        embedding = read_embedding(folder / EMBEDDING)
        facts = about["provider"]
        provider = facts and Provider.of_facts(facts, folder / "provider" / facts["source"])
        any_gene = AnyGene(embedding, provider)
    arm = load_arm(about["arm"])
    fits = {
        Path(name).stem: arm.read(folder / name)
        for name in about["files"]
        if name.startswith("fitted/")
    }
    if arm.family == "closed_form":
        return Bundle(about, ClosedFormPredictor(fits), lines, embedding, any_gene)
    from ptrag.prediction.network_files import load_network

    expert = next(iter(fits.values()), None)
    predictor = load_network(folder, about, embedding, expert, device)
    return Bundle(about, predictor, lines, embedding, any_gene)


def _checked(folder: Path) -> dict[str, Any]:
    """Return the content of ``bundle.json``, whose files are all there and as they were written."""
    try:
        about = read_json(folder / "bundle.json")
    except (FileNotFoundError, NotADirectoryError):
        raise PtragError(f"{folder}: is no bundle, it has no bundle.json") from None
    if about.get("format") != FORMAT:
        raise PtragError(
            f"{folder}: made in format {about.get('format')}, this version reads {FORMAT}; "
            "make it again"
        )
    if facts_digest(about) != about.get("sha256"):
        raise PtragError(f"{folder}: bundle.json is not as it was written; copy it again")
    for name, checksum in about["files"].items():
        if not (folder / name).is_file():
            raise PtragError(f"{folder}: {name} is missing; copy the whole folder again")
        if sha256(folder / name) != checksum:
            raise PtragError(f"{folder}: {name} is not the file that was written; copy it again")
    about["checkpoint"] = about["files"].get(WEIGHTS, "")
    return about
