"""A bigram model of tokens, the rival that a one-layer model must beat: interpolated Kneser-Ney."""

import numpy as np


class Bigram:
    """P(w | h) = max(c(h, w) - D, 0) / c(h) + D T(h) / c(h) * P0(w);   P0(w) = (N(., w) + 1) / (N(., .) + V)

    c counts pairs, T(h) the distinct successors of h, N(., w) the distinct predecessors of w; D = n1 / (n1 + 2 n2) with n1, n2 the pairs
    seen once and twice. A token h that was never seen predicts P0. Source: Chen & Goodman 1998; P0 is add-one smoothed here, so that
    every token has a probability.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        """Counts of one stream of ids."""
        self.V = vocab_size
        pairs = tokens[:-1].astype(np.int64) * vocab_size + tokens[1:]
        self.pairs, self.counts = np.unique(pairs, return_counts=True)
        n1, n2 = int((self.counts == 1).sum()), int((self.counts == 2).sum())
        self.discount = n1 / (n1 + 2 * n2) if n1 else 0.5
        first, second = np.divmod(self.pairs, vocab_size)
        self.of_first = np.bincount(first, weights=self.counts, minlength=vocab_size)
        self.successors = np.bincount(first, minlength=vocab_size)
        self.base = (np.bincount(second, minlength=vocab_size) + 1) / (len(self.pairs) + vocab_size)

    def nats(self, before: np.ndarray, target: np.ndarray) -> np.ndarray:
        """-ln P(target | before), elementwise, in nats."""
        before, target = before.astype(np.int64), target.astype(np.int64)
        keys = before * self.V + target
        at = np.minimum(np.searchsorted(self.pairs, keys), max(len(self.pairs) - 1, 0))
        seen = np.where(self.pairs[at] == keys, self.counts[at], 0.0) if len(self.pairs) else np.zeros(len(keys))
        total = self.of_first[before]
        safe = np.maximum(total, 1.0)
        backing = np.where(total > 0, self.discount * self.successors[before] / safe, 1.0)
        return -np.log(np.maximum(seen - self.discount, 0) / safe + backing * self.base[target])
