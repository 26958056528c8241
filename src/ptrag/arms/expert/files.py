"""The fitted expert as one file: what was fitted is read back, and nothing is fitted again.

One ``.npz`` without pickles. Arrays have the name of their part before a slash
(``responses/delta``, ``text/unit``); numbers that are no arrays are JSON in ``about``, where
every float is written with as many digits as give it back exactly.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ptrag.arms.expert.components import Components
from ptrag.arms.expert.entries import Entries
from ptrag.arms.expert.expert import Expert
from ptrag.arms.expert.level import Level
from ptrag.arms.expert.posterior import Variances
from ptrag.arms.expert.signs import Signs
from ptrag.arms.expert.spread import Spread
from ptrag.arms.expert.stacking import Stack
from ptrag.base.errors import PtragError
from ptrag.base.files import atomic
from ptrag.cells.responses import Responses
from ptrag.retrieval.index import Neighbours
from ptrag.retrieval.similarity import TextSimilarity


def write_expert(expert: Expert, path: str | Path) -> None:
    """Write a fitted expert; the same expert gives the same bytes."""
    components = expert.components
    parts: dict[str, Mapping[str, Any]] = {
        "responses": expert.responses.arrays(),
        "text": expert.text.arrays(),
        "neighbours": expert.neighbours.arrays(),
        "components": {
            "scale": components.scale,
            "reliability": components.reliability,
            "share": components.share,
        }
        | {f"directions{i}": rows for i, rows in enumerate(components.directions)},
        "level": {
            "trust": expert.level.trust,
            "of_controls": expert.level.of_controls,
            "variance": expert.level.variance,
        },
        "stack": {"slopes": expert.stack.slopes},
    }
    about = {
        "k": expert.k,
        "penalty": float(expert.penalty),
        "carried": expert.level.carried,
        "followed": expert.level.followed,
        "share": expert.share,
        "groups": len(components.directions),
        "variances": {name: _floats(asdict(of)) for name, of in expert.variances.items()},
        "weights": expert.stack.weights,
    }
    if expert.shrunken:
        parts["shrunken"] = {"values": expert.shrunken.values, "noise": expert.shrunken.noise}
    if expert.spread:
        parts["spread"] = {"gene": expert.spread.gene}
        parts["signs"] = asdict(expert.signs)
        about["spread"] = {"growth": expert.spread.growth, "usual": expert.spread.usual}
    arrays = {f"{part}/{key}": x for part, of in parts.items() for key, x in of.items()}
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)


def read_expert(path: str | Path) -> Expert:
    """Read what :func:`write_expert` wrote; nothing in the file is executed.

    Raises
    ------
    PtragError
        If the file is no fitted expert.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return _expert(dict(file))
    except (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile):
        raise PtragError(f"{path}: holds no fitted expert; fit the arm again") from None


def _expert(arrays: Mapping[str, np.ndarray]) -> Expert:
    about = json.loads(str(arrays["about"]))
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, values in arrays.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = values
    responses = Responses.of_arrays(parts["responses"])
    components = parts["components"]
    sparse, spread = parts.get("shrunken"), parts.get("spread")
    return Expert(
        responses=responses,
        text=TextSimilarity.of_arrays(parts["text"]),
        neighbours=Neighbours.of_arrays(parts["neighbours"]),
        k=about["k"],
        shrunken=Entries.shrunken(responses, sparse["values"], sparse["noise"]) if sparse else None,
        variances={name: Variances(**of) for name, of in about["variances"].items()},
        components=Components(
            components["scale"],
            [components[f"directions{i}"] for i in range(about["groups"])],
            components["reliability"],
            components["share"],
        ),
        penalty=about["penalty"],
        level=Level(about["carried"], about["followed"], **parts["level"]),
        stack=Stack(about["weights"], parts["stack"]["slopes"]),
        share=about["share"],
        spread=Spread(spread["gene"], **about["spread"]) if spread else None,
        signs=Signs(**parts["signs"]) if spread else None,
    )


def _floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items()}
