"""Retrieval: the neighbours of a perturbation, and proof that none of them leaks."""
