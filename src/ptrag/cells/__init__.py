"""Cells and what was measured on them.

Reading a source, the store that everything downstream reads, the two halves of the controls, cell
sets, measured responses and their noise. May import ``base`` and ``genes``. Start with
``store``; then ``controls`` (which controls may be seen by whom) and ``responses`` (a measured
delta and its error).
"""
