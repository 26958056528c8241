"""What an arm predicts of a pair: profile, cells and evidence.

Also bundles; one path for the workflow, the command and Python. May import ``arms`` and what that
may. Start with ``prediction``.
"""
