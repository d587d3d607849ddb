"""Memory that the C library keeps between steps, instead of giving it back and asking for it again."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 32 * 2**20
"""What glibc raises M_MMAP_THRESHOLD to by itself, and its limit: larger blocks are mapped anew each time."""
KEPT = 2**31 - 1
USUAL = 2 * LARGEST_BLOCK
"""What glibc raises M_TRIM_THRESHOLD to by itself, as blocks are freed."""


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """While it lasts, freed blocks of a step stay with the process for the next step.

    A dense step frees some ten matrices [batch_tokens, d_sae]. glibc returns them to the system and faults every page in again:
    on a CPU that takes several times as long as the arithmetic. Afterwards what is free is given back. Without glibc: nothing.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        libc.mallopt(M_TRIM_THRESHOLD, USUAL)
        libc.malloc_trim(0)
