"""Errors that a user can mend."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


class PtragError(Exception):
    """A mistake in the input or the configuration.

    The message is one line: the file, key or value at fault, what is wrong
    with it, and what to do.
    """


def did_you_mean(value: object, options: Iterable[object], shown: int = 8) -> str:
    """Return a remedy for an unknown ``value``: the nearest options, else what there is.

    Examples
    --------
    >>> did_you_mean("papalexy", ["demo", "papalexi"])
    "did you mean 'papalexi'?"
    """
    names = [str(option) for option in options]
    lower = {name.lower(): name for name in names}
    near = near_matches(str(value).lower(), lower, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(lower[name]) for name in near) + "?"
    listed = ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
    return f"there are: {listed}" if names else "there are none"


def near_matches(value: str, options: Collection[str], cutoff: float, n: int = 3) -> list[str]:
    """Return up to ``n`` options that ``value`` may be a misspelling of, nearest first.

    Two neighbouring characters that changed places come before all else: of the likeness of
    sequences (Ratcliff & Obershelp) such a slip takes as much as two wrong characters.

    Examples
    --------
    >>> near_matches("TP35", ["TPR", "TP63", "TP53", "TP73", "MYC"], cutoff=0.7)[0]
    'TP53'
    """
    pairs = range(len(value) - 1)
    swapped = (value[:i] + value[i + 1] + value[i] + value[i + 2 :] for i in pairs)
    near = [name for name in swapped if name in options and name != value]
    return list(dict.fromkeys(near + get_close_matches(value, options, n, cutoff)))[:n]


def briefly(error: Exception) -> str:
    """Return what an error says, in a few words: its first line, or the system's reason."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error).strip("'\"").splitlines()[0]
