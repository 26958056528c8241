"""Metrics as pure functions of arrays, and their registry.

The registry has what each is called, its direction and its ideal. Imports ``base`` alone. Start
with ``registry``.
"""
