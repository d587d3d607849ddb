"""How much texts resemble each other by their words: mean pairwise cosine of their TF-IDF vectors."""

import re
from typing import Protocol

import numpy as np

from saescope.evals.top_texts import REACH, Reading

LONGEST = 20
"""Characters of a word; what is longer (base64, DNA, chains) no language has: its tokens stand for it."""
_NO_SPACES = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_NO_SPACES}]|[^\W_{_NO_SPACES}]+")
"""A run of letters and digits; a single character of a script that puts no spaces between words."""
_SETS_AT_ONCE = 256


class TokenBytes(Protocol):
    """All that is asked of a tokenizer here."""

    @property
    def special_ids(self) -> frozenset[int]: ...

    def token_bytes(self, i: int) -> bytes: ...


class TextSimilarity:
    """Mean cosine of all pairs of texts of a set.

        mean = (|sum u|^2 - sum |u|^2) / (k (k - 1)),   u = the texts' vectors of norm 1
        entry of a word in a text: (1 + ln tf) (ln((1 + D) / (1 + df)) + 1),   D documents of the reading, df those with the word

    The words of a text are those that begin in it, in lower case, without the word at its place: else whatever fires on one word
    would agree with itself by that word alone.
    """

    def __init__(self, reading: Reading, tokenizer: TokenBytes):
        from sklearn.feature_extraction.text import TfidfTransformer

        self.reading = reading
        self.first, self.last, self.word = _words(reading, tokenizer)
        self.n_words = int(self.word.max(initial=0)) + 1
        doc = reading.docs[self.first]
        by_document = np.argsort(doc, kind="stable")
        starts = np.flatnonzero(np.diff(doc[by_document], prepend=-1, append=-1))
        # Documents without a word count too.
        starts = np.append(starts, np.full(max(0, reading.n_documents - len(starts) + 1), len(doc)))
        self.weights = TfidfTransformer(sublinear_tf=True).fit(self._counts(self.word[by_document], starts))

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """[sets] from places [sets, k]."""
        out = np.empty(len(places))
        for start in range(0, len(places), _SETS_AT_ONCE):
            block = places[start : start + _SETS_AT_ONCE]
            out[start : start + len(block)] = _mean_cosine(self.weights.transform(self._texts(block.reshape(-1))), places.shape[1])
        return out

    def _texts(self, places: np.ndarray):
        """Word counts of each text."""
        inside = self.reading.around(places)[1]
        low, high = places - inside[:, :REACH].sum(1), places + inside[:, REACH + 1 :].sum(1)
        start, stop = np.searchsorted(self.first, low), np.searchsorted(self.first, high + 1)
        n = stop - start
        text = np.repeat(np.arange(len(places)), n)
        entry = np.arange(n.sum()) + np.repeat(start - (np.cumsum(n) - n), n)
        own = (self.first[entry] <= places[text]) & (places[text] <= self.last[entry])
        starts = np.append(0, np.cumsum(np.bincount(text[~own], minlength=len(places))))
        return self._counts(self.word[entry[~own]], starts)

    def _counts(self, words: np.ndarray, starts: np.ndarray):
        """Sparse [texts, words] counts of words that lie one text after the other."""
        from scipy.sparse import csr_matrix

        counts = csr_matrix((np.ones(len(words)), words, starts), shape=(len(starts) - 1, self.n_words), copy=True)
        counts.sum_duplicates()
        return counts


def _words(reading: Reading, tokenizer: TokenBytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place of the first token, place of the last token, and number of each word, in their order."""
    text, edges = _joined(reading, tokenizer)
    names: dict[str | int, int] = {}
    spans = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    begin, end = np.array(spans, np.int64).reshape(-1, 2).T
    at_byte = _byte_offsets(text)
    # Tokens without bytes begin where the next one does: the last that begins there holds the byte.
    first, last = (np.searchsorted(edges, byte, side="right") - 1 for byte in (at_byte[begin], at_byte[end] - 1))
    columns: list[tuple[int, int, int]] = []
    for (start, stop), a, b in zip(spans, first.tolist(), last.tolist(), strict=True):
        if stop - start <= LONGEST:
            columns.append((a, b, names.setdefault(text[start:stop].lower(), len(names))))
        else:
            columns += [(place, place, names.setdefault(int(reading.tokens[place]), len(names))) for place in range(a, b + 1)]
    found = np.array(columns, np.int64).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2]


def _joined(reading: Reading, tokenizer: TokenBytes) -> tuple[str, np.ndarray]:
    """All text with a line break before each document and each sequence, and the byte at which each token begins in it."""
    new = np.ones(len(reading.tokens), bool)
    new[1:] = (np.diff(reading.docs) != 0) | (np.diff(reading.rows) != 0)
    special, ids = tokenizer.special_ids, np.unique(reading.tokens).tolist()
    piece = {i: b" " if i in special else tokenizer.token_bytes(i) for i in ids}
    pieces = [b"\n" + piece[i] if edge else piece[i] for i, edge in zip(reading.tokens.tolist(), new.tolist(), strict=True)]
    edges = np.cumsum([0, *map(len, pieces)])[:-1]
    return b"".join(pieces).decode("utf-8", "surrogateescape"), edges


def _byte_offsets(text: str) -> np.ndarray:
    """The byte at which each character begins, and the end; an undecodable byte is one character."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    width = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
    width[(points >= 0xDC80) & (points <= 0xDCFF)] = 1
    return np.append(0, np.cumsum(width))


def _mean_cosine(units, k: int) -> np.ndarray:
    """Of each k rows, which have norm 1, or 0 where a text has no words."""
    from scipy.sparse import csr_matrix

    n = units.shape[0]
    membership = csr_matrix((np.ones(n), np.arange(n), np.arange(0, n + 1, k)), shape=(n // k, n))
    total = membership @ units
    squares = membership @ np.asarray(units.multiply(units).sum(1)).reshape(-1)
    return (np.asarray(total.multiply(total).sum(1)).reshape(-1) - squares) / (k * (k - 1))
