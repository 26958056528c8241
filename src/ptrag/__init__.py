"""Retrieval-augmented prediction of single-cell responses to gene perturbations.

Nothing is imported here, so that ``import ptrag`` costs nothing: torch, scanpy
and faiss load with the module that needs them.
"""

__version__ = "0.1.0"
