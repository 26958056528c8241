"""What every other room may use.

Errors, files, logs, the names of columns and labels, keyed random draws, and the one correlation,
ranking and moments. Imports no other room. Start with ``names`` (how things are called in files)
and ``errors`` (how a user is told what to do).
"""
