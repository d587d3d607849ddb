"""Which features fire together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from saescope.draws import hash64
from saescope.features.part import Part, mix64
from saescope.features.spill import Spill, largest, summed

N_PARTNERS = 16
DENSE_FEATURES = 4096
"""Up to here all pairs are counted, on all tokens, in one table in memory (64 MiB)."""
MOST_ACTIVE = 256
"""A token on which more features are on says nothing about who fires with whom, and costs the square of their number."""
LEAST_TOGETHER = 2


class Coactivation:
    """On how many tokens each two features are both on, over a hash-chosen share of the tokens.

    corr(a, b) = (n n_ab - n_a n_b) / sqrt(n_a (n - n_a) n_b (n - n_b))         the phi coefficient
    """

    def __init__(self, n_features: int, seed: int, share: float, folder: Path):
        self.F, self.seed = n_features, seed
        self.n_tokens, self.n_on = 0, np.zeros(n_features, np.int64)
        small = n_features <= DENSE_FEATURES
        self.share = 1.0 if small else share
        self.dense = np.zeros((n_features, n_features), np.int32) if small else None
        self.spill = Spill(folder, n_features, n_features)

    def add(self, part: Part) -> None:
        from scipy.sparse import csr_array

        words = mix64(part.place.view(np.uint64) + np.uint64(hash64(self.seed, "pairs")))
        drawn = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53 < self.share
        chosen = drawn & part.counted & (part.n_active <= MOST_ACTIVE)
        latent = part.latent[chosen[part.token_of]].astype(np.int32)
        self.n_tokens += int(chosen.sum())
        self.n_on += np.bincount(latent, minlength=self.F)
        indptr = np.concatenate([[0], np.cumsum(part.n_active[chosen])]).astype(np.int32)
        on = csr_array((np.ones(len(latent), np.int32), latent, indptr), shape=(len(indptr) - 1, self.F))
        together = on.T.tocsr() @ on
        if self.dense is not None:
            self.dense += together.toarray()
        else:
            pairs = together.tocoo()
            key, n = pairs.row.astype(np.int64) * self.F + pairs.col, pairs.data.astype(np.int64)
            self.spill.add(*summed(key, n, np.zeros(len(n), np.int64)))

    def merge(self, other: "Coactivation") -> None:
        self.n_tokens += other.n_tokens
        self.n_on = self.n_on + other.n_on
        if self.dense is not None and other.dense is not None:
            self.dense += other.dense
        self.spill.merge(other.spill)

    def result(self) -> dict[str, np.ndarray]:
        """For each feature a its 16 partners b of largest phi, seen together at least twice: columns a, b, corr, n_both."""
        tables = []
        for a, b, n_both in self._pairs():
            phi = self.phi(a, b, n_both)
            worth = np.flatnonzero((phi > 0) & (a != b))
            a, b, n_both, phi = a[worth], b[worth], n_both[worth], phi[worth]
            kept = largest(a, np.lexsort((b, -phi, a)), N_PARTNERS)
            tables.append((a[kept], b[kept], phi[kept].astype(np.float32), n_both[kept]))
        columns = (np.concatenate(column) for column in zip(*tables, strict=True))
        return dict(zip(("a", "b", "corr", "n_both"), columns, strict=True))

    def phi(self, a: np.ndarray, b: np.ndarray, n_both: np.ndarray) -> np.ndarray:
        n, n_a, n_b = float(self.n_tokens), self.n_on[a].astype(np.float64), self.n_on[b].astype(np.float64)
        spread = n_a * (n - n_a) * (n_b * (n - n_b))
        return (n * n_both - n_a * n_b) / np.sqrt(np.where(spread > 0, spread, np.inf))

    def _pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(a, b, n_both) of all pairs seen at least twice, for consecutive ranges of a."""
        for key, n in self._counts():
            often = n >= LEAST_TOGETHER
            yield key[often] // self.F, key[often] % self.F, n[often]

    def _counts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.dense is None:
            yield from ((key, n) for _, key, n, _ in self.spill.blocks())
            return
        for first in range(0, self.F, 256):
            counts = self.dense[first : first + 256].ravel()
            key = np.flatnonzero(counts >= LEAST_TOGETHER)
            yield key + first * self.F, counts[key].astype(np.int64)
