"""The ways to predict.

``catalogue`` has one file per arm; ``simple``, ``expert`` and ``neural`` have what they are made
of: ``expert`` knows nothing of ``neural``, nor the reverse. May import ``base``, ``cells``,
``genes``, ``splits`` and ``retrieval``. Start with ``arm`` (what an arm is) and any file of
``catalogue``.
"""
