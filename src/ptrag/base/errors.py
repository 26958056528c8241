"""Errors that a user can mend."""

from collections.abc import Iterable
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
    near = get_close_matches(str(value).lower(), lower, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(lower[name]) for name in near) + "?"
    listed = ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
    return f"there are: {listed}" if names else "there are none"


def briefly(error: Exception) -> str:
    """Return what an error says, in a few words: its first line, or the system's reason."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error).strip("'\"").splitlines()[0]
