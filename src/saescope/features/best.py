"""The k best entries of each group, kept as flat arrays: top examples, random ones, strata and near misses are all this."""

import numpy as np

from saescope.features.reducer import Monoid

FIELDS = {"group": np.int64, "score": np.float64, "doc": np.int32, "place": np.int64, "peak": np.float32}
"""`place` is row * 2**32 + position (`Part.place`)."""
ROOM = 2**18


class Best(Monoid):
    """The k entries of each group that come first by (score down, place up); at most one per document if asked.

    A new entry is dropped at once when its score is below the group's bar, the score of its k-th best so far: bars only rise, so
    it could never come back. The others wait, and are sorted in when many have gathered.
    """

    group: np.ndarray
    score: np.ndarray
    doc: np.ndarray
    place: np.ndarray
    peak: np.ndarray

    def __init__(self, n_groups: int, k: int, *, one_per_document: bool = False):
        self.k, self.one_per_document = k, one_per_document
        self.bar = np.full(n_groups, -np.inf)
        for name, dtype in FIELDS.items():
            setattr(self, name, np.empty(0, dtype))
        self._waiting: list[tuple[np.ndarray, ...]] = []
        self._n_waiting = 0

    def add(self, group, score, doc, place, peak) -> None:
        """Offer entries: arrays of one length, in the order of FIELDS."""
        # In interleaved slices: the first ones raise the bars of all groups before most entries are looked at.
        strides = -(-len(group) // ROOM)
        for first in range(strides):
            own = slice(first, None, strides)
            worth = np.flatnonzero(score[own] >= self.bar[group[own]])
            if len(worth):
                columns = zip((group, score, doc, place, peak), FIELDS.values(), strict=True)
                self._waiting.append(tuple(column[own][worth].astype(dtype, copy=False) for column, dtype in columns))
                self._n_waiting += len(worth)
            if self._n_waiting > max(ROOM // 2, len(self.group)):
                self.settle()

    def merge(self, other: "Best") -> None:
        other.settle()
        self.add(*(getattr(other, name) for name in FIELDS))

    def regroup(self, group: np.ndarray) -> None:
        """Give the entries other groups (-1: drop them). Lawful when every new group is a union of old ones."""
        kept = group >= 0
        self.group = group
        self._take(kept)
        self.bar[:] = -np.inf
        self._sort()

    def settle(self) -> None:
        if self._waiting:
            for column, name in enumerate(FIELDS):
                setattr(self, name, np.concatenate([getattr(self, name), *(entries[column] for entries in self._waiting)]))
            self._waiting, self._n_waiting = [], 0
            self._sort()

    def result(self) -> dict[str, np.ndarray]:
        """The entries as columns, by group, best first, and `rank`, their place in it from 0."""
        self.settle()
        return {name: getattr(self, name) for name in FIELDS} | {"rank": _rank(self.group)}

    def _sort(self) -> None:
        self._take(np.lexsort((self.place, -self.score, self.group)))
        if self.one_per_document:
            by_document = np.lexsort((self.doc, self.group))  # stable: a document's best entry comes first
            pairs = np.stack([self.group[by_document], self.doc[by_document]])
            best_of_document = np.ones(len(by_document), bool)
            best_of_document[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(0)
            self._take(np.sort(by_document[best_of_document]))
        rank = _rank(self.group)
        self._take(rank < self.k)
        last = rank[rank < self.k] == self.k - 1
        self.bar[self.group[last]] = self.score[last]

    def _take(self, which: np.ndarray) -> None:
        for name in FIELDS:
            setattr(self, name, getattr(self, name)[which])


def _rank(group: np.ndarray) -> np.ndarray:
    """Place of each entry within its run of equal groups, from 0."""
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return np.arange(len(group)) - np.repeat(first, np.diff(np.append(first, len(group))))
