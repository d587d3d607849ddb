"""From pointers to examples: the feature's activations on the 32 tokens each side of every chosen token.

The codes of the encode pass are still on disk, part by part, with whole rows. Within a part they are sorted by (feature, token),
so the activations of one window are one contiguous run, found by two binary searches: exact, no second run of the model, and
never more than one part in memory.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from saescope.features.part import Part, mix64

REACH = 32
"""Tokens each side of an example's peak; a window never crosses the edge of a row."""
POINTERS = ("feature", "kind", "stratum", "rank", "row", "position", "peak")


def gathered(found: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The pointers of all kinds as one table, sorted by (feature, kind, stratum, rank)."""
    table = {name: np.concatenate([columns[name] for columns in found]) for name in POINTERS}
    order = np.lexsort((table["rank"], table["stratum"], table["kind"], table["feature"]))
    return {name: column[order] for name, column in table.items()}


class Windows:
    """Fills in the windows of the examples, part by part, and folds identical ones."""

    def __init__(self, pointers: dict[str, np.ndarray]):
        n = len(pointers["feature"])
        self.pointers = pointers
        self.by_row = np.argsort(pointers["row"], kind="stable")
        self.n_act, self.text = np.zeros(n, np.uint8), np.zeros(n, np.uint64)
        self._runs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, part: Part) -> None:
        """Find the windows that lie in this part."""
        which, peak, left, right = self._located(part)
        if len(which) == 0:
            return
        feature = self.pointers["feature"][which].astype(np.int64) << 32
        first = np.searchsorted(part.keys, feature | part.indptr[left])
        last = np.searchsorted(part.keys, feature | part.indptr[right + 1])
        self.n_act[which] = last - first
        entry = np.repeat(first - _starts(last - first)[:-1], last - first) + np.arange((last - first).sum())
        a = part.active
        self._runs.append((which, (a.token[entry] - np.repeat(peak, last - first)).astype(np.int8), a.value[entry]))
        self.text[which] = _text_hash(part, peak, left, right)

    def result(self, max_act: np.ndarray, row_index: np.ndarray, context: int, n_features: int) -> dict[str, torch.Tensor]:
        """The tensors of `examples-{k}.safetensors`; `row_index` holds the stream's row numbers, ascending: their places are the
        rows of the token table, `context` wide."""
        starts = _starts(self.n_act)
        off, act = np.zeros(starts[-1], np.int8), np.zeros(starts[-1], np.float32)
        for which, run_off, run_act in self._runs:
            n = self.n_act[which].astype(np.int64)
            place = np.repeat(starts[which] - _starts(n)[:-1], n) + np.arange(n.sum())
            off[place], act[place] = run_off, run_act
        p = self.pointers
        scale = np.repeat(np.where(max_act > 0, max_act, 1)[p["feature"]], self.n_act)
        keep, copies = self._folded()
        keep_act = np.repeat(keep, self.n_act)
        at = np.searchsorted(row_index, p["row"]) * context + p["position"]
        feature, n_act = p["feature"][keep], self.n_act[keep]
        ex_start = np.searchsorted(feature, np.arange(n_features + 1))
        columns = {
            "ex_start": ex_start,
            "act_start": _starts(n_act)[ex_start],
            "at": at[keep].astype(np.uint32),
            "peak": p["peak"][keep].astype(np.float32),
            "kind": p["kind"][keep],
            "stratum": p["stratum"][keep],
            "n_act": n_act,
            "copies": copies,
            "off": off[keep_act],
            "act": (act / scale)[keep_act].astype(np.float16),
        }
        return {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in columns.items()}

    def _located(self, part: Part) -> tuple[np.ndarray, ...]:
        """Examples in this part, and the tokens of their peak and of the first and last place of their window."""
        rows, row_start = part.rows[part.row_start], part.row_start
        order = np.argsort(rows)
        row_of_example = self.pointers["row"][self.by_row]
        wanted = np.isin(row_of_example, rows)
        which = self.by_row[wanted]
        block = order[np.searchsorted(rows[order], row_of_example[wanted])]
        start, stop = row_start[block], np.append(row_start[1:], len(part.tokens))[block]
        peak = start + self.pointers["position"][which]
        return which, peak, np.maximum(start, peak - REACH), np.minimum(stop - 1, peak + REACH)

    def _folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Which examples stay when those of one list with the same text are folded into the first, and the copies of each."""
        p = self.pointers
        group = (p["feature"].astype(np.uint64) * np.uint64(4) + p["kind"]) * np.uint64(16) + p["stratum"]
        order = np.lexsort((np.arange(len(group)), self.text, group))
        new = np.ones(len(order), bool)
        new[1:] = (group[order][1:] != group[order][:-1]) | (self.text[order][1:] != self.text[order][:-1])
        first = np.flatnonzero(new)
        copies = np.zeros(len(order), np.int64)
        copies[order[first]] = np.diff(np.append(first, len(order)))
        return copies > 0, np.minimum(copies[copies > 0], 2**16 - 1).astype(np.uint16)


def token_table(parts: Iterable[Part]) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """Row numbers of the stream, ascending, and the corpus in their order: `ids` U16/U32 and `doc` U32, [n_rows, longest row];
    padding has doc 2^32 - 1."""
    pieces = [(part.rows, part.positions, part.tokens, part.docs) for part in parts]
    rows, positions, tokens, docs = (np.concatenate(column) for column in zip(*pieces, strict=True))
    row_index = np.unique(rows)
    width = int(positions.max()) + 1
    ids = np.zeros((len(row_index), width), np.uint16 if tokens.max() < 2**16 else np.uint32)
    doc = np.full((len(row_index), width), 2**32 - 1, np.uint32)
    place = np.searchsorted(row_index, rows)
    ids[place, positions], doc[place, positions] = tokens, docs
    return row_index, {"ids": torch.from_numpy(ids), "doc": torch.from_numpy(doc)}


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _text_hash(part: Part, peak: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """64 bits of the tokens of each window and of where its peak is."""
    total = np.zeros(len(peak), np.uint64)
    for offset in range(-REACH, REACH + 1):
        token = peak + offset
        inside = (token >= left) & (token <= right)
        word = np.where(inside, part.tokens[np.clip(token, 0, len(part.tokens) - 1)], -1).astype(np.int64).view(np.uint64)
        total += mix64(word * np.uint64(2 * REACH + 1) + np.uint64(offset + REACH))
    return total
