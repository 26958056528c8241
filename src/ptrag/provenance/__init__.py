"""Where things come from: downloads, the digest of code, the manifest and the RO-Crate.

May import ``base``. Start with ``manifest``.
"""
