"""Memory that the C library keeps between steps, instead of giving it back and asking for it again."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
KEPT = 2**31 - 1
USUAL_TRIM, USUAL_MMAPS = 64 * 2**20, 65536
"""Twice the largest block that glibc comes to take from its heap by itself, and its own number of mapped blocks."""


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """While it lasts, freed blocks of a step stay with the process for the next step.

    A step frees gradients [d_in, d_sae], a dense one some ten matrices [batch_tokens, d_sae] as well. glibc returns them to the
    system and faults every page in again: on a CPU that takes several times as long as the arithmetic. So no block is mapped by
    itself, and none is given back. Afterwards what is free is. Without glibc: nothing.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_MAX, USUAL_MMAPS)
        libc.mallopt(M_TRIM_THRESHOLD, USUAL_TRIM)
        libc.malloc_trim(0)
