"""Random draws that depend on a key alone, on every machine."""

import hashlib

import numpy as np


def keyed_rng(*key: object) -> np.random.Generator:
    """Return a generator that depends on ``key`` alone, on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def choose(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return ``size`` of the numbers below ``n`` in random order.

    None comes twice before every one has come: without replacement where ``n`` allows it, else
    each ⌊size/n⌋ or ⌈size/n⌉ times.
    """
    if n >= size:
        return rng.choice(n, size, replace=False)
    return np.concatenate([rng.permutation(n) for _ in range(-(-size // n))])[:size]


def one_cycle(rng: np.random.Generator, items: np.ndarray) -> np.ndarray:
    """Return (n,) distinct ``items`` dealt anew in one cycle, so that none of several stays."""
    order = rng.permutation(len(items))
    dealt = np.empty_like(items)
    dealt[order] = items[np.roll(order, 1)]
    return dealt
