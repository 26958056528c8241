"""Which pairs may be learnt from: the role of every pair, and the audit against leaks.

May import ``base`` and ``cells.store``. Start with ``protocols``.
"""
