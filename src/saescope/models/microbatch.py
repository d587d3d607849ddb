"""Running a batch in as many parts as the device's memory allows."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
log = logging.getLogger(__name__)


class Microbatch:
    """Remembers how many tokens fit at once. Unlimited at first; out of memory halves it, and it stays halved."""

    def __init__(self) -> None:
        self.n_tokens: int | None = None

    def map(self, run: Callable[[slice], T], n_rows: int, width: int, *, may_split: bool) -> list[T]:
        """Results of `run` on consecutive slices of the rows. Raises: torch.OutOfMemoryError if one row alone does not fit."""
        results: list[T] = []
        done = 0
        while done < n_rows:
            size = n_rows - done
            if may_split and self.n_tokens is not None:
                size = max(1, min(size, self.n_tokens // width))
            try:
                results.append(run(slice(done, done + size)))
                done += size
                continue
            except RuntimeError as error:
                if not (may_split and size > 1 and _out_of_memory(error)):
                    raise
            # Only here is the failed pass out of scope, and its memory free.
            self._halve(size * width)
        return results

    def _halve(self, n_tokens: int) -> None:
        first = self.n_tokens is None
        self.n_tokens = n_tokens // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if first:
            log.warning("out of memory with %d tokens in one pass: running at most %d at once", n_tokens, self.n_tokens)


def _out_of_memory(error: RuntimeError) -> bool:
    # mps raises a plain RuntimeError
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
