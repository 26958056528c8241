"""Words and drawings: one HTML file that needs no network. It decides nothing.

May import every room but ``training``. Start with ``page``.
"""
