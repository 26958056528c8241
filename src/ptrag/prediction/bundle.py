"""A bundle: one folder that predicts by itself.

========================  ==========================================================
``bundle.json``           arm, options, sizes, genes, lines, batches, perturbations,
                          seed, hashes of what it was trained on
``weights.safetensors``   weights, the frozen ones too
``embedding.h5ad``        vectors of perturbations, for arms that use them
``index/``                index and neighbours, for arms that retrieve
``responses.npz``         measured responses, for arms with an expert: it is fitted from them
========================  ==========================================================
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ptrag import __version__
from ptrag.arms.estimate import Fitted
from ptrag.arms.neural.networks import Network, Shapes
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.base.files import read_json, sha256, share_as_others, write_json
from ptrag.cells.responses import Responses
from ptrag.cells.store import CellStore
from ptrag.genes.embeddings import read_embedding
from ptrag.prediction.network import NetworkPredictor
from ptrag.retrieval.index import read_neighbours

FORMAT = 1


def write_bundle(
    folder: str | Path,
    network: Network,
    store: CellStore,
    about: dict[str, Any],
    embedding: str | Path | None = None,
    index: str | Path | None = None,
    responses: Responses | None = None,
) -> None:
    """Write a bundle; the folder appears whole or not at all.

    Parameters
    ----------
    folder
        The bundle; replaced where it exists.
    network
        What was trained.
    store
        The cells it was trained on: genes, lines, batches and scale come from it.
    about
        ``arm``, ``seed``, ``options``, ``model``, ``training``, ``trained``, ``hashes``, ...
    embedding, index, responses
        The h5ad and the folder to copy in, and the responses to write, where the arm uses them.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(weights, part / "weights.safetensors")
    share_as_others(part / "weights.safetensors")
    hashes = {**about["hashes"], "weights": sha256(part / "weights.safetensors")}
    if embedding is not None:
        shutil.copyfile(embedding, part / "embedding.h5ad")
        hashes["embedding"] = sha256(part / "embedding.h5ad")
    if index is not None:
        shutil.copytree(index, part / "index", copy_function=shutil.copyfile)
        hashes["neighbours"] = sha256(part / "index" / "neighbours.tsv")
    if responses is not None:
        responses.write(part / "responses.npz")
        hashes["responses"] = sha256(part / "responses.npz")
    content = about | {
        "format": FORMAT, "ptrag": __version__, "hashes": hashes, "genes": store.genes,
        "lines": store.lines, "batches": store.batches, "perturbations": store.perturbations,
        "scale": store.scale, "simulated": store.simulated,
        "features": network.encode_perturbation.in_features,
    }  # fmt: skip
    write_json(content, part / "bundle.json")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def load_bundle(folder: str | Path, device: str | None = None) -> NetworkPredictor:
    """Read a bundle.

    Parameters
    ----------
    folder
        What :func:`write_bundle` wrote.
    device
        Where to predict; None: a GPU if there is one.

    Returns
    -------
    NetworkPredictor
        What predicts with it.

    Raises
    ------
    PtragError
        If the folder is no bundle, or a file in it is not the one that was written.
    """
    folder = Path(folder)
    try:
        about = read_json(folder / "bundle.json")
    except FileNotFoundError:
        raise PtragError(f"{folder}: is no bundle, it has no bundle.json") from None
    if about.get("format") != FORMAT:
        raise PtragError(
            f"{folder}: made in format {about.get('format')}, this version reads {FORMAT}; "
            "train it again"
        )
    names = {"weights": "weights.safetensors", "embedding": "embedding.h5ad",
             "neighbours": "index/neighbours.tsv", "responses": "responses.npz"}  # fmt: skip
    for key, name in names.items():
        if key not in about["hashes"]:
            continue
        if not (folder / name).is_file():
            raise PtragError(f"{folder}: {name} is missing; copy the whole folder again")
        if sha256(folder / name) != about["hashes"][key]:
            raise PtragError(f"{folder}: {name} is not the file that was written; copy it again")
    shapes = Shapes(len(about["genes"]), about["features"], len(about["batches"]))
    network = load_arm(about["arm"]).build(about["options"], about["model"], shapes)
    try:
        network.load_state_dict(load_file(folder / "weights.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise PtragError(f"{folder}: weights do not fit ({first}); train it again") from None
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    known, expert = _known(folder, about)
    return NetworkPredictor(network, known, about, torch.device(device), expert)


def _known(folder: Path, about: dict[str, Any]) -> tuple[Perturbations | None, Fitted | None]:
    """Return what the network knows: of perturbations, or of pairs through its expert."""
    hashes, options = about["hashes"], about["options"]
    embedding = neighbours = None
    if "embedding" in hashes:
        embedding = read_embedding(folder / "embedding.h5ad")
    if "neighbours" in hashes:
        neighbours = read_neighbours(folder / "index")
    if "responses" in hashes:
        responses = Responses.read(folder / "responses.npz")
        return None, load_arm(about["arm"]).fit(responses, embedding, neighbours, options)
    if embedding is None:
        return Perturbations.one_hot(about["perturbations"], about["trained"]), None
    return Perturbations.embedded(embedding, neighbours, options.get("topk_rag")), None
