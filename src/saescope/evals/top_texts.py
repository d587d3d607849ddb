"""The top texts of every latent and every neuron from one pass, and the tokens that were read, to look them up in.

A text is a token, its *place*, with the tokens around it. Places count the tokens in the order in which they were read.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from saescope.activations.encode import Chunk

REACH = 32
"""Tokens each side of its place that belong to a text; it never leaves its sequence or its document."""
ROOM = 2**17
"""Entries that wait until they are sorted in."""


@dataclass(frozen=True)
class Reading:
    """Columns of every token read, in order."""

    tokens: np.ndarray
    docs: np.ndarray
    rows: np.ndarray
    """Number of the token's sequence."""
    positions: np.ndarray
    counted: np.ndarray
    acts: np.ndarray
    """[n, 2]: the watched latent, the watched neuron; NaN where none was."""
    labels: np.ndarray | None = None
    """[n, family] as `data/labels.py` gives them; None for text whose labels were not asked for."""

    @cached_property
    def counted_by_document(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of the counted tokens, grouped by document, and where each group starts (and the last one ends)."""
        places = np.flatnonzero(self.counted)
        places = places[np.argsort(self.docs[places], kind="stable")]
        starts = np.flatnonzero(np.diff(self.docs[places], prepend=-1, append=-1))
        return places, starts

    @property
    def n_documents(self) -> int:
        """Documents with at least one counted token."""
        return len(self.counted_by_document[1]) - 1

    def around(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places [n, 2 REACH + 1] of the tokens of each text, and which of them belong to it."""
        wide = places[:, None] + np.arange(-REACH, REACH + 1)
        inside = (wide >= 0) & (wide < len(self.tokens))
        wide = np.clip(wide, 0, len(self.tokens) - 1)
        for column in (self.rows, self.docs):
            inside &= column[wide] == column[places][:, None]
        return wide, inside


class ReadTokens:
    """Reducer that keeps the tokens, and the activations of one latent and one neuron where they are named."""

    def __init__(self, *, latent: int | None = None, neuron: int | None = None):
        self.latent, self.neuron = latent, neuron
        self._parts: list[dict[str, np.ndarray]] = []

    def add(self, chunk: Chunk) -> None:
        acts = torch.full((len(chunk.tokens), 2), torch.nan, device=chunk.x.device)
        if self.latent is not None:
            own = chunk.code.latent == self.latent
            acts[:, 0] = 0
            acts[chunk.code.token[own], 0] = chunk.code.value[own].float()
        if self.neuron is not None:
            acts[:, 1] = chunk.x[:, self.neuron]
        columns = {"tokens": chunk.tokens, "docs": chunk.doc_ids, "rows": chunk.rows, "positions": chunk.positions}
        columns |= {"counted": chunk.counted, "acts": acts} | ({} if chunk.labels is None else {"labels": chunk.labels})
        self._parts.append({name: column.cpu().numpy() for name, column in columns.items()})

    def merge(self, other: "ReadTokens") -> None:
        self._parts += other._parts

    def result(self) -> Reading:
        names = ("tokens", "docs", "rows", "positions", "counted", "acts", "labels")
        columns = {name: np.concatenate([part[name] for part in self._parts]) for name in names if name in self._parts[0]}
        return Reading(**columns)


@dataclass(frozen=True)
class Top:
    """The k strongest texts of each unit: latents first, then neurons. Missing ones have place -1."""

    places: np.ndarray
    """[units, k], strongest first."""
    scores: np.ndarray
    n: np.ndarray
    """Texts of each unit: k, or the number of documents in which it is positive where these are fewer."""


class TopTexts:
    """Reducer: for each latent and each neuron the k documents in which it is largest, each by the token where it is.

    Only positive activations of counted tokens. Of equal ones the document of the lower number comes first, and its earlier token:
    how the text was cut into batches cannot show.
    """

    def __init__(self, n_latents: int, n_neurons: int, k: int):
        self.n_latents, self.k = n_latents, k
        self.n_seen = 0
        self.bar = np.zeros(n_latents + n_neurons, np.float32)
        """Score of the k-th text of each unit so far: what is below it can never come in."""
        self._kept = _Entries.empty()
        self._waiting: list[_Entries] = []

    def add(self, chunk: Chunk) -> None:
        docs = chunk.doc_ids.cpu().numpy()
        code = chunk.counted_code
        latent, value = code.latent.cpu().numpy(), code.value.float().cpu().numpy()
        worth = (value > 0) & (value >= self.bar[latent])
        self._offer(latent[worth], value[worth], code.token.cpu().numpy()[worth], docs)
        self._add_neurons(chunk.x.cpu().numpy(), np.flatnonzero(chunk.counted.cpu().numpy()), docs)
        self.n_seen += len(docs)
        if sum(len(entries.unit) for entries in self._waiting) > max(ROOM, len(self._kept.unit)):
            self._settle()

    def merge(self, other: "TopTexts") -> None:
        """`other` read what follows."""
        other._settle()
        kept = other._kept
        self._waiting.append(_Entries(kept.unit, kept.score, kept.doc, kept.place + self.n_seen))
        self.n_seen += other.n_seen

    def result(self) -> Top:
        self._settle()
        kept, shape = self._kept, (len(self.bar), self.k)
        places, scores = np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
        rank = _rank(kept.unit)
        places[kept.unit, rank], scores[kept.unit, rank] = kept.place, kept.score
        return Top(places, scores, (places >= 0).sum(1))

    def _add_neurons(self, x: np.ndarray, counted: np.ndarray, docs: np.ndarray) -> None:
        """The largest value of each neuron in each document of a chunk, where it can still come in."""
        if len(counted) == 0:
            return
        x, bar = x[counted], self.bar[self.n_latents :]
        first = np.flatnonzero(np.diff(docs[counted], prepend=-1))
        largest = np.maximum.reduceat(x, first, axis=0)
        run = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(x))))
        wanted = np.where((largest > 0) & (largest >= bar), largest, np.inf)
        token, neuron = np.nonzero(x == wanted[run])
        self._offer(self.n_latents + neuron, x[token, neuron], counted[token], docs)

    def _offer(self, unit: np.ndarray, score: np.ndarray, token: np.ndarray, docs: np.ndarray) -> None:
        self._waiting.append(_Entries(unit.astype(np.int64), score.astype(np.float32), docs[token], self.n_seen + token))

    def _settle(self) -> None:
        entries = _Entries.joined([self._kept, *self._waiting])
        self._waiting = []
        by_document = np.lexsort((entries.place, -entries.score, entries.doc, entries.unit))
        entries = entries.take(by_document)
        entries = entries.take(np.flatnonzero((np.diff(entries.unit, prepend=-1) != 0) | (np.diff(entries.doc, prepend=-1) != 0)))
        entries = entries.take(np.lexsort((entries.doc, -entries.score, entries.unit)))
        rank = _rank(entries.unit)
        self._kept, rank = entries.take(rank < self.k), rank[rank < self.k]
        last = rank == self.k - 1
        self.bar[self._kept.unit[last]] = self._kept.score[last]


@dataclass(frozen=True)
class _Entries:
    """Texts as flat columns."""

    unit: np.ndarray
    score: np.ndarray
    doc: np.ndarray
    place: np.ndarray

    @classmethod
    def empty(cls) -> "_Entries":
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def joined(cls, many: "list[_Entries]") -> "_Entries":
        return cls(*(np.concatenate([getattr(entries, name) for entries in many]) for name in ("unit", "score", "doc", "place")))

    def take(self, which: np.ndarray) -> "_Entries":
        return _Entries(self.unit[which], self.score[which], self.doc[which], self.place[which])


def _rank(unit: np.ndarray) -> np.ndarray:
    """Place of each entry within its run of equal units, from 0."""
    first = np.flatnonzero(np.diff(unit, prepend=-1))
    return np.arange(len(unit)) - np.repeat(first, np.diff(np.append(first, len(unit))))
