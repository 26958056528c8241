"""Retrieval-augmented prediction of single-cell responses to gene perturbations.

The public names are those of :mod:`ptrag.api`: ``ptrag.responses``, ``ptrag.fit``, ``ptrag.load``,
``ptrag.evaluate``. They are imported when they are first asked for, so that ``import ptrag`` costs
nothing: torch, scanpy and faiss load with the module that needs them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptrag.api import Predicted, Predictor, evaluate, fit, load, responses

    __version__: str

__all__ = ["Predicted", "Predictor", "__version__", "evaluate", "fit", "load", "responses"]


def __getattr__(name: str) -> Any:
    """Import a public name, or look up the version, when it is first asked for."""
    if name == "__version__":
        return _version()
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("ptrag.api"), name)
    raise AttributeError(f"module 'ptrag' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public."""
    return sorted(__all__)


def _version() -> str:
    """Return the version that the installed package has from the tag in git.

    It stands in no file of the code: a new version alone changes no digest, and reruns nothing.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ptrag")
    except PackageNotFoundError:
        return "unknown"
