"""The tokens each feature fires on."""

from pathlib import Path

import numpy as np

from saescope.features.part import Part
from saescope.features.spill import Spill, largest, summed

N_TOKENS = 32
UNIT = 2.0**-20
"""Activations are summed as whole multiples of this, so that their order cannot matter."""


class TokensFired:
    """How often each feature fires on each token of the vocabulary, and how much in sum."""

    def __init__(self, n_features: int, n_vocabulary: int, folder: Path):
        self.width = n_vocabulary
        self.spill = Spill(folder, n_features, n_vocabulary)

    def add(self, part: Part) -> None:
        a = part.active
        key = a.feature * self.width + part.tokens[a.token]
        self.spill.add(*summed(key, np.ones(len(key), np.int64), np.rint(a.value.astype(np.float64) / UNIT).astype(np.int64)))

    def merge(self, other: "TokensFired") -> None:
        self.spill.merge(other.spill)

    def result(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The table of the top 32 tokens of each feature, most frequent first, and two columns of every feature:
        `token_entropy` in bits and `top_token_share`, over all tokens it fires on (NaN for a dead one)."""
        F = self.spill.n_groups
        entropy, share = np.full(F, np.nan), np.full(F, np.nan)
        tables = []
        for _, key, n, total in self.spill.blocks():
            feature, token = key // self.width, key % self.width
            if len(key):
                first = np.flatnonzero(np.diff(feature, prepend=-1))
                count = np.add.reduceat(n, first)
                p = n / np.repeat(count, np.diff(np.append(first, len(n))))
                entropy[feature[first]] = np.abs(-np.add.reduceat(p * np.log2(p), first))
                share[feature[first]] = np.maximum.reduceat(n, first) / count
            kept = largest(feature, np.lexsort((token, -n, feature)), N_TOKENS)
            tables.append((feature[kept], token[kept], n[kept], total[kept] * UNIT))
        columns = (np.concatenate(column) for column in zip(*tables, strict=True))
        return dict(zip(("feature", "token", "n", "sum_act"), columns, strict=True)), {"token_entropy": entropy, "top_token_share": share}
