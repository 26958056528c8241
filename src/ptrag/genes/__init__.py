"""Genes by name and by text: current symbols, embeddings and their providers, coverage.

May import ``base``. Start with ``providers`` (from names to vectors), then ``coverage`` (how each
vector was found).
"""
