"""Counts under integer keys, more of them than memory should hold."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from saescope.disk import writing

BLOCK = 2**22
"""Rows summed at once when the table is read back."""


class Spill:
    """Rows (key, n, total) with integer sums, written out part by part and summed by key range when read.

    Keys are group * width + item. Adding and merging only collect files; the sums are of integers, so their order cannot matter.
    Its files go with `folder`, the folder of the build's parts.
    """

    def __init__(self, folder: Path, n_groups: int, width: int):
        self.n_groups, self.width = n_groups, width
        self._folder = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder))
        self._files: list[Path] = []

    def add(self, key: np.ndarray, n: np.ndarray, total: np.ndarray) -> None:
        """Add rows whose keys are sorted and distinct."""
        path = self._folder / f"{len(self._files):06}.npy"
        with writing(path):
            np.save(path, np.stack([key, n.astype(np.int64), total.astype(np.int64)]))
        self._files.append(path)

    def merge(self, other: "Spill") -> None:
        self._files += other._files

    def blocks(self) -> Iterator[tuple[range, np.ndarray, np.ndarray, np.ndarray]]:
        """(groups, key, n, total) for consecutive ranges of groups, each small enough to hold; keys sorted and distinct."""
        tables = [np.load(path, mmap_mode="r", allow_pickle=False) for path in self._files]
        edges = [np.searchsorted(table[0], np.arange(self.n_groups + 1) * self.width) for table in tables]
        rows_below = np.sum(edges, axis=0) if edges else np.zeros(self.n_groups + 1, np.int64)
        first = 0
        while first < self.n_groups:
            last = max(first + 1, int(np.searchsorted(rows_below, rows_below[first] + BLOCK, side="right")) - 1)
            rows = [table[:, edge[first] : edge[last]] for table, edge in zip(tables, edges, strict=True)]
            yield range(first, last), *summed(*(np.concatenate(rows, 1) if rows else np.zeros((3, 0), np.int64)))
            first = last


def summed(key: np.ndarray, n: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows with equal keys added up, sorted by key."""
    order = np.argsort(key, kind="stable")
    key, n, total = key[order], n[order], total[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    if len(first) == 0:
        return key, n, total
    return key[first], np.add.reduceat(n, first), np.add.reduceat(total, first)


def largest(group: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Indices of the first k of each group, when `order` (a permutation) sorts by group first."""
    sorted_group = group[order]
    first = np.flatnonzero(np.diff(sorted_group, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    return order[rank < k]
