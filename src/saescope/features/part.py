"""A part: the codes of some whole sequences as plain arrays, the unit of work, of resume and of merging in the feature build."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from saescope.draws import hash64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Active(NamedTuple):
    """The non-zeros of counted tokens, sorted by (feature, token): feature `present[s]` owns entries `start[s] : start[s + 1]`."""

    feature: np.ndarray
    value: np.ndarray
    magnitude: np.ndarray
    token: np.ndarray
    """Index of the token in the part."""
    present: np.ndarray
    start: np.ndarray

    @property
    def n_active(self) -> np.ndarray:
        """Active tokens of each present feature."""
        return np.diff(self.start)


@dataclass(frozen=True)
class Part:
    """Tokens in the order of the stream, whole rows only, each row contiguous and from position 0; codes in CSR form.

    Token t has the non-zeros `latent[indptr[t] : indptr[t + 1]]`, ascending, and their `value`s. Tokens that do not count (BOS,
    other specials, position 0) have their codes here too: reducers count them apart.
    """

    tokens: np.ndarray
    docs: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    counted: np.ndarray
    n_active: np.ndarray
    """Non-zeros of each token."""
    latent: np.ndarray
    value: np.ndarray

    @cached_property
    def indptr(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.n_active, dtype=np.int64)])

    @cached_property
    def token_of(self) -> np.ndarray:
        """The token of each non-zero."""
        return np.repeat(np.arange(len(self.tokens)), self.n_active)

    @cached_property
    def keys(self) -> np.ndarray:
        """latent * 2**32 + entry of each non-zero on a counted token, sorted: entries by (latent, token)."""
        entry = np.flatnonzero(self.counted[self.token_of])
        return np.sort(self.latent[entry].astype(np.int64) << 32 | entry)

    @cached_property
    def active(self) -> Active:
        feature, entry = self.keys >> 32, self.keys & 0xFFFFFFFF
        value = self.value[entry]
        first = np.flatnonzero(np.diff(feature, prepend=-1))
        return Active(feature, value, np.abs(value), self.token_of[entry], feature[first], np.append(first, len(feature)))

    @cached_property
    def row_start(self) -> np.ndarray:
        """Index of the first token of each row, in the order of the stream."""
        return np.flatnonzero(np.diff(self.rows, prepend=self.rows[:1] - 1))

    @cached_property
    def place(self) -> np.ndarray:
        """row * 2**32 + position of each token: its place in the stream as one number."""
        return self.rows.astype(np.int64) << 32 | self.positions

    def hashes(self, seed: int) -> np.ndarray:
        """64 bits for each entry of `active`: a function of (seed, feature, row, position), the same in whatever part they come."""
        a = self.active
        token_key = mix64(self.place.view(np.uint64) + np.uint64(hash64(seed, "examples")))
        return mix64(token_key[a.token] + a.feature.astype(np.uint64) * GOLDEN)


def mix64(x: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words under which near words become unrelated (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sampled_rows(rows: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Which rows belong to a hash-chosen share of all rows."""
    words = mix64(rows.astype(np.uint64) + np.uint64(hash64(seed, "sampled rows")))
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share
