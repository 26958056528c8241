"""Training of neural arms, resumable to the bit.

May import ``arms``, ``prediction`` and what these may. Start with ``run``.
"""
