"""How the process keeps its memory."""

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep large blocks that are freed instead of handing them back.

    Every step of a network makes and drops the same tensors of tens of megabytes. By default
    each is mapped anew and paged in at its first touch: a third of a training step on a CPU.
    Elsewhere than on glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)
