"""The part of a bundle that is a network: weights, and what it was told of perturbations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ptrag.arms.arm import ClosedForm
from ptrag.arms.neural.networks import Network, Shapes
from ptrag.arms.neural.perturbations import Perturbations
from ptrag.arms.registry import load_arm
from ptrag.base.errors import PtragError
from ptrag.genes.embeddings import Embedding
from ptrag.prediction.bundle import WEIGHTS
from ptrag.prediction.network import NetworkPredictor
from ptrag.retrieval.index import read_neighbours


def network_files(network: Network) -> Mapping[str, Callable[[Path], None]]:
    """Return what writes a network's files, for :func:`ptrag.prediction.bundle.write_bundle`."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    return {WEIGHTS: lambda path: save_file(weights, path)}


def load_network(
    folder: Path,
    about: dict[str, Any],
    embedding: Embedding | None,
    expert: ClosedForm | None,
    device: str | None = None,
) -> NetworkPredictor:
    """Read the network of a bundle.

    Parameters
    ----------
    folder, about
        The bundle, and the content of ``bundle.json``.
    embedding, expert
        What was read of it before.
    device
        Where to predict; None: a GPU if there is one.

    Raises
    ------
    PtragError
        If the weights are those of another network.
    """
    shapes = Shapes(len(about["genes"]), about["features"], len(about["batches"]))
    network = load_arm(about["arm"]).build(about["options"], about["model"], shapes)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise PtragError(f"{folder}: weights do not fit ({first}); train it again") from None
    known = None
    if expert is None and embedding is None:
        known = Perturbations.one_hot(about["perturbations"], about["trained"])
    elif expert is None:
        neighbours = read_neighbours(folder / "index") if about["options"].get("rag") else None
        known = Perturbations.embedded(embedding, neighbours, about["options"].get("topk_rag"))
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return NetworkPredictor(network, known, about, torch.device(device), expert)
