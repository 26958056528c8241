"""Genes: their symbols, their texts and their embedding vectors."""
